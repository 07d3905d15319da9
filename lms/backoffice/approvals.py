"""What may wait for a second person: for each kind of request, who carries it out."""

from collections.abc import Callable
from typing import Any, NamedTuple

from lms.ledger import journals, periods
from lms.mpesa.operations import reversals
from lms.payouts import operations as payouts
from lms.reconciliation.operations import signing
from lms.staff import operations
from lms.tills.operations import drawers


class Deed(NamedTuple):
    """One kind of request.

    `carry_out(approval, *, reason, by, on)` is the operation of the room that asked: it calls
    `staff.operations.decide` and acts, in one transaction. `permission` is what the second
    person needs beside `staff.decide_approval`. A room whose own record says that it was asked
    brings its own `turn_down` and `take_back`, of the same shape. `done` is what the second person
    is told, or makes it from what was carried out.
    """

    title: str
    carry_out: Callable[..., Any]
    permission: str
    turn_down: Callable[..., Any] = operations.reject
    take_back: Callable[..., Any] = operations.withdraw
    done: str | Callable[[Any], str] = "Approved and done."


# By the `kind` of the approval.
DEEDS: dict[str, Deed] = {
    journals.KIND: Deed(
        "Manual journal",
        journals.carry_out,
        "ledger.approve_manualjournal",
        journals.turn_down,
        journals.call_back,
    ),
    signing.REOPEN: Deed(
        "Reopen a reconciliation", signing.reopen, "reconciliation.reopen_reconciliation"
    ),
    drawers.DIFFERENCE: Deed(
        "Difference of a drawer",
        drawers.carry_out,
        "tills.approve_difference",
        drawers.turn_down,
        drawers.call_back,
    ),
    payouts.BATCH: Deed(
        "Payouts by M-Pesa",
        payouts.approve_batch,
        "payouts.approve_payoutbatch",
        payouts.turn_batch_down,
        payouts.call_batch_back,
    ),
    payouts.FATE: Deed(
        "Payout that did not arrive", payouts.settle_by_hand, "mpesa.approve_b2cpayment"
    ),
    payouts.ADRIFT: Deed(
        "Payout in suspense that is settled", payouts.let_go, "mpesa.approve_b2cpayment"
    ),
    periods.REOPENING: Deed("Reopen a month", periods.reopen, "ledger.reopen_period"),
    reversals.KIND: Deed(
        "Send a payment back",
        reversals.carry_out,
        "mpesa.approve_reversal",
        done=lambda row: f"{row}: {row.get_status_display().lower()}. {row.finding}".strip(),
    ),
}


def title_of(kind: str) -> str:
    """Return the name of a kind of request, as staff read it."""
    return DEEDS[kind].title if kind in DEEDS else kind
