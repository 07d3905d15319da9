"""Holding a payment while Safaricom is asked to send it back, and undoing what went."""

from datetime import date

from lms.errors import Refused
from lms.payments.models import Payment
from lms.payments.operations.checking import must_not_be_going_back
from lms.payments.operations.receiving import undo_receipt


def begin_going_back(payment: Payment, *, by, reason: str) -> None:
    """Hold a payment of which nothing is placed, while it may be on its way back to the payer.

    Call it with the payment locked. Raises Refused for one that is placed, reversed or held.
    """
    must_not_be_going_back(payment)
    if payment.status != Payment.Status.UNALLOCATED or payment.unallocated != payment.amount:
        raise Refused(
            f"{payment.number} is {payment.get_status_display().lower()}: only money that waits "
            "unallocated, all of it, can be sent back."
        )
    payment.is_going_back = True
    _keep_where_it_goes(payment, by=by, reason=reason)


def end_going_back(payment: Payment, *, by, reason: str) -> None:
    """Let go of a payment that did not go back; a person, not its account number, places it.

    Call it with the payment locked. A payment that is not held stays as it is.
    """
    if payment.is_going_back:
        payment.is_going_back, payment.waits_for_staff = False, True
        _keep_where_it_goes(payment, by=by, reason=reason)


def undo_sent_back(payment: Payment, *, reason: str, by, on: date) -> Payment:
    """Reverse the receipt of a payment that Safaricom gave back to its payer.

    Runs inside the caller's transaction, which holds the row lock of the payment. Raises Refused
    for one that was placed meanwhile, and as `undo_receipt` does.
    """
    payment.is_going_back = False
    return undo_receipt(payment, reason=reason, by=by, on=on)


def _keep_where_it_goes(payment: Payment, *, by, reason: str) -> None:
    payment._history_user, payment._change_reason = by, reason[:100]
    payment.save(update_fields=["is_going_back", "waits_for_staff"])
