"""Paying out by M-Pesa: one loan, a batch of them, a customer's credit; and what comes back.

The books promise the money before it is sent, in one transaction with the loan. What Safaricom
does not pay goes back: the loan is approved again, the credit is credit again.
"""

from lms.payouts.operations.batches import (
    BATCH,
    MOST_IN_BATCH,
    approve_batch,
    call_batch_back,
    offer,
    offers,
    pay_batches,
    prepare_batch,
    turn_batch_down,
)
from lms.payouts.operations.coming_back import (
    settle_answered,
    take_back,
    take_back_failed,
    take_up,
    why_failed,
)
from lms.payouts.operations.sending import (
    disburse,
    refund_credit,
    send_credit,
    send_loan,
    send_rest,
)
from lms.payouts.operations.settling import (
    ADRIFT,
    FATE,
    ask_to_let_go,
    ask_to_settle,
    let_go,
    settle_by_hand,
)

__all__ = [
    "ADRIFT", "BATCH", "FATE", "MOST_IN_BATCH", "approve_batch",
    "ask_to_let_go", "ask_to_settle", "call_batch_back", "disburse", "let_go", "offer", "offers",
    "pay_batches", "prepare_batch", "refund_credit", "send_credit", "send_loan", "send_rest",
    "settle_answered", "settle_by_hand", "take_back", "take_back_failed", "take_up",
    "turn_batch_down", "why_failed",
]  # fmt: skip
