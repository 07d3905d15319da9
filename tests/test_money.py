from decimal import Decimal

import pytest
from django.db.models import F
from hypothesis import given
from hypothesis import strategies as st

from lms import money
from lms.loans.models import Repayment
from tests import factories

D = Decimal


@pytest.mark.parametrize(
    ("amount", "unit", "mode", "expected"),
    [
        ("2.345", "0.01", money.HALF_UP, "2.35"),
        ("-2.345", "0.01", money.HALF_UP, "-2.35"),
        ("9455.9597", "1", money.HALF_UP, "9456.00"),
        ("9455.01", "1", money.UP, "9456.00"),
        ("9455.96", "5", money.HALF_UP, "9455.00"),
        ("9457.50", "5", money.HALF_UP, "9460.00"),
        ("9451", "50", money.UP, "9500.00"),
    ],
)
def test_amounts_are_rounded_to_the_unit_halves_away_from_zero(amount, unit, mode, expected):
    assert money.money(D(amount), D(unit), mode) == D(expected)


def test_a_float_is_not_money():
    with pytest.raises(TypeError):
        money.money(0.1)


@given(st.decimals(0, 10**9, places=2), st.integers(1, 400))
def test_no_cent_is_lost_in_a_split(total, parts):
    assert sum(money.split(total, parts)) == total


@given(
    st.decimals(0, 10**9, places=2),
    st.lists(st.decimals(0, 10**6, places=2), min_size=1, max_size=60).filter(lambda w: sum(w) > 0),
)
def test_no_cent_is_lost_when_cut_in_proportion(total, weights):
    parts = money.apportion(total, weights)

    assert sum(parts) == total
    assert all(part >= 0 for part in parts)


def test_staff_read_amounts_with_thousands_and_cents():
    assert money.kes(D("12345")) == "KES 12,345.00"
    assert money.kes(None) == "-"


@pytest.mark.django_db
def test_sums_comparisons_and_constraints_are_exact_in_the_database():
    loan = factories.active(D(1000))
    row = loan.repayments.first()
    Repayment.objects.filter(pk=row.pk).update(
        interest=D("0.30"), interest_paid=D("0.10"), interest_waived=D("0.20")
    )

    row = (
        Repayment.objects.filter(pk=row.pk)
        .annotate(left=money.exact(F("interest") - F("interest_paid") - F("interest_waived")))
        .get()
    )

    assert row.left == D("0.00")
    found = Repayment.objects.filter(pk=row.pk).annotate(
        gone=money.exact(F("interest_paid") + F("interest_waived"))
    )
    assert found.filter(gone=F("interest")).exists()
    assert found.filter(gone=D("0.30")).exists()
