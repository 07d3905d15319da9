"""What M-Pesa takes and pays at once, and how a larger sum is cut into payments.

Pure: no Django. Source: Safaricom, B2C and M-Pesa Express, limits: KES 10 to 250,000 a payment
to a customer, KES 500,000 to one customer a day; whole shillings.
"""

from decimal import Decimal

from lms.money import ZERO, kes

SMALLEST_PAYOUT = Decimal(10)
LARGEST_PAYOUT = Decimal(250_000)
LARGEST_A_DAY = Decimal(500_000)  # what one customer may receive


def unsendable(amount: Decimal) -> str:
    """Return why a sum in KES cannot be sent to one customer by M-Pesa, or "" where it can."""
    if amount != int(amount):
        return (
            f"M-Pesa pays whole shillings only, and this is {kes(amount)}. Pay it out by bank or "
            "in cash."
        )
    if amount < SMALLEST_PAYOUT:
        return f"M-Pesa pays {kes(SMALLEST_PAYOUT)} or more, and this is {kes(amount)}."
    if amount > LARGEST_A_DAY:
        return (
            f"One customer can receive {kes(LARGEST_A_DAY)} a day by M-Pesa, and this is "
            f"{kes(amount)}. Pay it out by bank, or make it a loan in tranches."
        )
    return ""


def split(amount: Decimal, *, largest: Decimal = LARGEST_PAYOUT) -> list[Decimal]:
    """Cut a sum of whole KES into payments of at most `largest`, as few and as large as can be.

    None is below KES 10: the last takes what it lacks from the one before. Raises ValueError for
    a sum that cannot be cut so.
    """
    if amount < SMALLEST_PAYOUT or largest < 2 * SMALLEST_PAYOUT or amount != int(amount):
        raise ValueError(f"{amount} cannot be sent in payments of {largest}.")
    parts = [largest] * int(amount // largest)
    if rest := amount - sum(parts, ZERO):
        if rest < SMALLEST_PAYOUT:
            parts[-1] -= SMALLEST_PAYOUT - rest
            rest = SMALLEST_PAYOUT
        parts.append(rest)
    return parts
