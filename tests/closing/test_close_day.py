"""The nightly close: once a day, after a crash, after missed days, around broken loans."""

from datetime import date, timedelta
from decimal import Decimal

from lms.closing.operations import catch_up, close_day
from lms.ledger.models import Transfer
from lms.loans.models import (
    LoanSnapshot,
    NonPerforming,
    Penalty,
    Position,
    Provision,
    Repayment,
)
from tests import factories
from tests.books import prove

DAILY = {
    "penalty_base": "instalment",
    "penalty_value": Decimal("0.5"),
    "penalty_frequency": "daily",
}
FIRST_DUE = date(2026, 2, 15)


def lend(code="NIGHT", **fields):
    return factories.active(product=factories.product(code=code, **fields))


def nights(first: date, last: date) -> None:
    for number in range((last - first).days + 1):
        close_day(first + timedelta(days=number))


def everything() -> dict:
    """All rows the night may write, but for the times of its own log."""
    models = (Penalty, Position, Repayment, LoanSnapshot, Provision, NonPerforming, Transfer,
              Penalty.history.model, Repayment.history.model)  # fmt: skip
    return {model: list(model.objects.order_by("pk").values()) for model in models}


def test_a_night_run_twice_changes_no_row(db):
    lend(**DAILY, income_basis="accrual")
    close_day(FIRST_DUE)
    nights(date(2026, 2, 16), date(2026, 2, 17))
    before = everything()

    close_day(date(2026, 2, 17))
    assert everything() == before
    close_day(date(2026, 2, 17), again=True)

    assert everything() == before
    assert Penalty.objects.count() == 2
    prove()


def test_three_missed_days_end_as_three_nights(db):
    lend(**DAILY, income_basis="accrual", npl_days=3)
    nights(FIRST_DUE, date(2026, 2, 20))
    lately = everything()
    assert catch_up(date(2026, 2, 23)) == [date(2026, 2, day) for day in (21, 22, 23)]

    assert list(LoanSnapshot.objects.values_list("day", flat=True)) == [
        date(2026, 2, day) for day in range(23, 14, -1)
    ]
    assert len(everything()[Penalty]) == len(lately[Penalty]) + 3
    prove()
