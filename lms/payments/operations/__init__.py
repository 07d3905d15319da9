"""The verbs of money in and out: receive a payment, undo a receipt, pay out, refund."""

from lms.payments.operations.arriving import Arrival, arrive, set_payout_status, take_up
from lms.payments.operations.checking import (
    CASH_ACCOUNTS,
    must_not_be_going_back,
    must_not_be_refunded,
)
from lms.payments.operations.going_back import begin_going_back, end_going_back, undo_sent_back
from lms.payments.operations.paying import lock_payout, pay_out, undo_payout
from lms.payments.operations.receiving import (
    AlreadyPosted,
    can_receive,
    learn_account,
    receive,
    receive_many,
    undo_receipt,
)
from lms.payments.operations.refunding import refund_credit, undo_refund

__all__ = [
    "CASH_ACCOUNTS",
    "AlreadyPosted",
    "Arrival",
    "arrive",
    "begin_going_back",
    "can_receive",
    "end_going_back",
    "learn_account",
    "lock_payout",
    "must_not_be_going_back",
    "must_not_be_refunded",
    "pay_out",
    "receive",
    "receive_many",
    "refund_credit",
    "set_payout_status",
    "take_up",
    "undo_payout",
    "undo_receipt",
    "undo_refund",
    "undo_sent_back",
]
