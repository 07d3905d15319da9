"""What was done and taken back leaves nothing: every account of the books is at zero again."""

from datetime import date
from decimal import Decimal

import pytest

from lms import routing
from lms.ledger.models import JournalEntry
from lms.ledger.operations import reverse
from lms.loans.operations import collection, relief, undoing, writing_off
from lms.loans.operations.night import accrual
from tests import factories
from tests.books import balances, prove
from tests.nights import EVERYBODY, charge

pytestmark = pytest.mark.django_db
D = Decimal
LENT, LATE = date(2026, 1, 15), date(2026, 2, 14)
NIGHT = date(2026, 3, 30)
FEES = [
    {"name": "Processing", "value": D(3), "when": "deducted", "excise_rate": D(20)},
    {"name": "Insurance", "value": D(1), "when": "first_instalment", "excise_rate": D(20)},
]
DAILY = {
    "penalty_base": "instalment", "penalty_value": D("0.5"), "penalty_frequency": "daily",
}  # fmt: skip


def standing() -> dict[str, Decimal]:
    """Return the accounts that are not at zero."""
    return {code: sum_ for code, sum_ in balances().items() if sum_}


@pytest.fixture(params=["cash", "accrual"])
def busy(request, mutua):
    """A loan with fees and excise, and three payments, of which some is left as credit."""
    product = factories.product(fees=FEES, income_basis=request.param, surplus="credit", **DAILY)
    loan = factories.active(product=product, on=LENT)
    payments = [
        routing.take(
            method="mpesa", amount=D(amount), reference=f"UKZ000000{number}", value_date=day,
            account=loan.number, by=mutua, on=LATE,
        )
        for number, (amount, day) in enumerate(
            [(4_000, date(2026, 2, 10)), (3_000, LATE), (30_000, LATE)]
        )
    ]  # fmt: skip
    return loan, payments


def test_everything_taken_back_by_its_own_verb_leaves_every_account_at_zero(busy, kamau):
    loan, payments = busy
    (waived,) = relief.waive(
        loan.repayments.get(number=2), amount=D(500), component="interest", reason="Flood",
        by=kamau, on=LATE,
    )  # fmt: skip
    accrual.accrue(*EVERYBODY, on=LATE)
    assert len(standing()) > 5
    prove()

    relief.reverse_waiver(waived, reason="No flood", by=kamau, on=LATE)
    for payment in reversed(payments):
        collection.reverse_payment(payment, reason="Bounced", by=kamau, on=LATE)
    undoing.undo_disbursement(loan, reason="Wrong phone", by=kamau, on=LATE)

    assert standing() == {}
    prove()


def test_every_entry_mirrored_leaves_every_account_at_zero(busy, kamau):
    loan, _ = busy
    charge(on=NIGHT)
    writing_off.write_off(loan, reason="Gone", by=kamau, on=NIGHT)
    assert standing()

    for entry in JournalEntry.objects.filter(reverses=None, reversed_by=None).order_by("-pk"):
        reverse(entry, reason="All of it", on=NIGHT, by=kamau)

    assert standing() == {}
