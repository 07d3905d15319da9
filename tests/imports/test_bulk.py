"""Rows written past the models stand as the models would have written them."""

from datetime import date, datetime
from decimal import Decimal

import pytest

from lms.dates import EAT
from lms.imports import bulk
from lms.imports.schedule.writing import HISTORY
from lms.loans.models import Repayment
from tests.imports.papers import running

pytestmark = pytest.mark.django_db

AT = datetime(2026, 3, 20, 1, 30, tzinfo=EAT)
MONEY = (Decimal("0.10"), Decimal("0.20"), *[Decimal("0.00")] * 10)


def test_amounts_days_and_instants_come_back_as_they_were():
    loan = running()

    bulk.insert(
        Repayment.history.model,
        HISTORY,
        [(7, loan.pk, 1, date(2026, 2, 5), *MONEY, "pending", None, AT, "why; 'so'", "+", None)],
    )

    row = Repayment.history.get()
    assert (row.id, row.number, row.due_date) == (7, 1, date(2026, 2, 5))
    assert (row.principal, row.interest) == (Decimal("0.10"), Decimal("0.20"))
    assert (row.history_date, row.history_change_reason, row.paid_on) == (AT, "why; 'so'", None)
    assert Repayment.history.filter(history_date__lte=AT).exists()


def test_an_update_sets_the_fields_of_the_rows_it_names():
    loan = running()
    first, second = (
        Repayment.objects.create(loan=loan, number=number, due_date=date(2026, number, 5))
        for number in (1, 2)
    )

    bulk.update(Repayment, ("due_date", "interest"), [(date(2026, 2, 9), Decimal(5), second.pk)])

    first.refresh_from_db()
    second.refresh_from_db()
    assert (first.due_date, first.interest) == (date(2026, 1, 5), Decimal("0.00"))
    assert (second.due_date, second.interest) == (date(2026, 2, 9), Decimal("5.00"))
