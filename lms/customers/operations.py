"""The verbs on a customer: say that the papers are in order, or that they are not."""

from datetime import date

from django.db import transaction

from lms.customers.models import Customer
from lms.errors import Refused


def verify(customer: Customer, *, by, on: date, note: str = "") -> Customer:
    """Record that the identity was checked, which opens the way to a loan.

    Raises Refused when it was verified already.
    """
    return _decide(customer, Customer.Kyc.VERIFIED, reason=note.strip() or "KYC verified", by=by)


def reject(customer: Customer, *, reason: str, by, on: date) -> Customer:
    """Record that the papers do not do. Raises Refused without a reason, or twice."""
    if not reason.strip():
        raise Refused("Say what is wrong: the customer is told.", field="reason")
    return _decide(customer, Customer.Kyc.REJECTED, reason=reason.strip(), by=by)


def verify_all(customers, *, by, on: date, note: str = "") -> list[Customer]:
    """Verify each of a set of customers, or none: a refusal names the one it is about."""
    with transaction.atomic():
        return [verify(customer, by=by, on=on, note=note) for customer in customers.order_by("pk")]


def _decide(customer: Customer, status: str, *, reason: str, by) -> Customer:
    with transaction.atomic():
        customer = Customer.objects.select_for_update().get(pk=customer.pk)
        if customer.kyc_status == status:
            word = customer.get_kyc_status_display().lower()
            raise Refused(f"The KYC of {customer.name} is {word} already.")
        customer.kyc_status = status
        customer._history_user, customer._change_reason = by, reason[:100]
        customer.save(update_fields=["kyc_status"])
    return customer
