"""Numbers as they are read in a sentence."""


def counted(count: int, noun: str) -> str:
    """Return a number with its noun, of which the plural ends in s: 1 loan, 1,200 loans."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"
