"""What staff should do about something that Safaricom sent, in plain words.

Pure: no Django, no database. The note on the row says what is so; this says what comes next.
"""

from dataclasses import dataclass
from enum import StrEnum


class Outcome(StrEnum):
    """What became of something that Safaricom sent, as staff sort it."""

    REVIEW = "review"
    UNPLACED = "unplaced"
    AUTO = "auto"
    BY_HAND = "by-hand"
    DUPLICATE = "duplicate"
    REVERSED = "reversed"
    PAYOUT = "payout"
    NO_MONEY = "no-money"
    WAITING = "waiting"

    @property
    def label(self) -> str:
        return LABELS[self]


LABELS = {
    Outcome.REVIEW: "Needs review",
    Outcome.UNPLACED: "Nobody's yet",
    Outcome.AUTO: "Auto-matched",
    Outcome.BY_HAND: "By hand",
    Outcome.DUPLICATE: "Duplicate",
    Outcome.REVERSED: "Reversed",
    Outcome.PAYOUT: "Payout",
    Outcome.NO_MONEY: "No money in it",
    Outcome.WAITING: "Being applied",
}


@dataclass(frozen=True)
class Sent:
    """What is known of a callback that was set aside. `booked` is the payment of its receipt."""

    kind: str
    outcome: Outcome
    receipt: str = ""
    gave_up: bool = False
    push: str = ""
    amounts_differ: bool = False
    booked: str = ""
    advice: str = ""


def what_to_do(sent: Sent) -> str:
    """Return the next step for staff in one or two sentences, or "" where nothing is to be done."""
    match sent.outcome:
        case Outcome.REVIEW:
            return _review(sent)
        case Outcome.UNPLACED:
            return f"Open {sent.booked} and say whose money it is."
        case Outcome.NO_MONEY:
            return sent.advice
        case Outcome.REVERSED:
            return f"Nothing: {sent.booked} was reversed." if sent.booked else ""
        case Outcome.WAITING:
            return "Nothing: it is applied within minutes."
    return ""


def _review(sent: Sent) -> str:
    if sent.gave_up:
        return (
            "Press “Apply again”. If it fails again, tell the administrator: Jobs failed has the "
            "reason."
        )
    if sent.kind not in ("stk", "confirmation"):
        if sent.booked:
            return f"Compare {sent.booked} with the M-Pesa statement before anything is undone."
        return "Nothing was booked. Ask Safaricom again, from the inquiry's page."
    if not sent.receipt:
        return (
            "Nothing was booked. Open it and look for an M-Pesa receipt in the body, then ask "
            "Safaricom about that receipt (M-Pesa inquiries)."
        )
    if sent.booked:
        return (
            f"Compare it with {sent.booked} and with the M-Pesa statement: one receipt is booked "
            "once. If the books are wrong, tell the accountant."
        )
    ask = f"Ask Safaricom about {sent.receipt} (M-Pesa inquiries): if we were paid, it is booked."
    if sent.kind == "stk" and not sent.push:
        return f"None of our requests asked for it. {ask}"
    if sent.kind == "stk" and sent.amounts_differ:
        return f"{sent.push} asked for another amount. {ask}"
    if sent.kind == "stk":
        return f"{sent.push} was paid with another receipt already. {ask}"
    return "When what the note says is mended, press “Apply again”: the money is then booked, once."
