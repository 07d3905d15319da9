"""The command palette: a customer, a loan or a payment from whatever a person has in hand."""

from django.http import HttpRequest
from django.urls import reverse
from unfold.dataclasses import SearchResult

from lms import dates, phones
from lms.backoffice.sidebar import may_see
from lms.customers.models import Customer
from lms.loans.models import Loan
from lms.money import kes
from lms.payments.models import Payment, normal_reference

MOST_OF_EACH = 6
# Two letters match half of the names.
SHORTEST = 3


def search(request: HttpRequest, term: str) -> list[SearchResult]:
    """Return at most 18 results that this person may open, each found by an index."""
    term = term.strip()
    if len(term) < SHORTEST:
        return []
    found: list[SearchResult] = []
    if may_see(request, "loans.loan"):
        found += _loans(request, term)
    if may_see(request, "payments.payment"):
        found += _payments(request, term)
    if may_see(request, "customers.customer"):
        found += _customers(request, term)
    return found


def _loans(request: HttpRequest, term: str) -> list[SearchResult]:
    loans = Loan.objects.seen_by(request.user).known_as(term).select_related("customer")
    return [
        SearchResult(
            title=str(loan),
            description=f"{kes(loan.principal)} · {loan.get_status_display()}",
            link=reverse("admin:loans_loan_change", args=[loan.pk]),
            icon="request_quote",
        )
        for loan in loans[:MOST_OF_EACH]
    ]


def _payments(request: HttpRequest, term: str) -> list[SearchResult]:
    seen = Payment.objects.seen_by(request.user)
    payments = seen.numbered(term) or seen.filter(reference=normal_reference(term))
    return [
        SearchResult(
            title=str(payment),
            description=f"{payment.get_method_display()} {payment.reference or ''} · "
            f"{dates.show(payment.value_date)}",
            link=reverse("admin:payments_payment_change", args=[payment.pk]),
            icon="payments",
        )
        for payment in payments[:MOST_OF_EACH]
    ]


def _customers(request: HttpRequest, term: str) -> list[SearchResult]:
    customers = Customer.objects.seen_by(request.user).matching(term)
    return [
        SearchResult(
            title=str(customer),
            description=f"{phones.show(customer.phone)} · ID {customer.id_number}",
            link=reverse("admin:customers_customer_change", args=[customer.pk]),
            icon="person",
        )
        for customer in customers[:MOST_OF_EACH]
    ]
