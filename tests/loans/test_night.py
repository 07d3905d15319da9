"""Set-based steps of the night end in the rows that their loan-by-loan rules make."""

from datetime import date, timedelta
from decimal import Decimal

import pytest
from django.db import transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lms import routing
from lms.ledger import chart
from lms.loans.models import Loan, Penalty, Position, Repayment
from lms.loans.operations import lateness, relief, rows
from lms.loans.operations.night import accrual, charges, standing
from lms.payments.models import Payment
from tests import factories
from tests.books import balances, prove

EVERYBODY = (0, 10**9)
shillings = st.decimals(1, 900, places=2)
penalty_rules = st.fixed_dictionaries(
    {
        "penalty_base": st.sampled_from(
            ["fixed", "instalment", "principal", "principal_and_interest", "outstanding_principal"]
        ),
        "penalty_value": st.decimals("0.01", 25, places=2),
        "penalty_frequency": st.sampled_from(["once", "daily", "weekly", "monthly"]),
        "penalty_grace_days": st.integers(0, 5),
        "penalty_start": st.sampled_from(["after_grace", "due_date"]),
        "penalty_cap_kind": st.sampled_from(
            ["none", "amount", "percent_of_base", "percent_of_principal"]
        ),
        "penalty_cap_value": st.decimals("0.5", 300, places=2),
        "penalty_stop": st.sampled_from(["none", "maturity"]),
    }
)
events = st.lists(
    st.tuples(
        st.integers(1, 25),  # days later
        st.one_of(st.none(), st.decimals(1, 900, places=0)),  # a payment in the morning
        st.booleans(),  # and whether the night was missed
    ),
    min_size=1,
    max_size=6,
)


def charged(work) -> dict:
    """What penalties, instalments and positions are after some work, which is then undone."""
    with transaction.atomic():
        work()
        found = {
            "charges": sorted(
                Penalty.objects.values_list(
                    "repayment", "charged_on", "amount", "suspended", "rule", "charged_by"
                )
            ),
            "instalments": list(
                Repayment.objects.order_by("pk").values_list("pk", "penalties", "status")
            ),
            "positions": list(
                Position.objects.order_by("pk").values_list("pk", "penalties", "last_event_on")
            ),
            "history": [Penalty.history.count()],
            "books": {code: amount for code, amount in balances().items() if amount},
        }
        transaction.set_rollback(True)
    return found


def one_by_one(day: date) -> None:
    for pk in Loan.objects.active().order_by("pk").values_list("pk", flat=True):
        lateness.bring_up_to(rows.lock(pk), on=day + timedelta(days=1))


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    rule=penalty_rules, events=events, npl_days=st.sampled_from([3, 12, 90]), stops=st.booleans()
)
def test_penalties_of_a_night_are_those_of_the_rule_loan_by_loan(db, rule, events, npl_days, stops):
    with transaction.atomic():
        product = factories.product(number_of_repayments=3, code="NIGHT", npl_days=npl_days, **rule)
        loan = factories.active(Decimal(1_000), product=product)
        factories.active(Decimal(1_700), product=product, customer=factories.otieno())
        if stops:
            Loan.objects.filter(pk=loan.pk).update(interest_stops_on=date(2026, 2, 25))
        day = date(2026, 2, 14)
        for later, amount, missed in events:
            day += timedelta(days=later)
            if amount:
                routing.take(
                    method="mpesa", amount=amount, reference=f"UKM{Payment.objects.count():07d}",
                    value_date=day, account=loan.number, by=None, on=day,
                )  # fmt: skip
            if missed:
                continue
            wanted = charged(lambda: one_by_one(day))  # noqa: B023
            assert charged(lambda: charges.charge(*EVERYBODY, on=day)) == wanted  # noqa: B023
            charges.charge(*EVERYBODY, on=day)
            assert charges.charge(*EVERYBODY, on=day) == 0
            standing.classify(*EVERYBODY, on=day)
            assert standing.classify(*EVERYBODY, on=day) == 0
        prove()
        transaction.set_rollback(True)


@pytest.mark.django_db
def test_interest_of_instalments_that_were_all_cancelled_leaves_the_income():
    product = factories.product(code="TIME", number_of_repayments=1, income_basis="accrual")
    loan = factories.active(Decimal(10_000), product=product)
    accrual.accrue(*EVERYBODY, on=date(2026, 1, 31))
    assert -balances()[chart.INTEREST_INCOME] > 0
    relief.cancel(loan.repayments.get(), reason="Agreed", by=factories.kamau(), on=date(2026, 2, 1))

    accrual.accrue(*EVERYBODY, on=date(2026, 2, 1))

    booked = balances()
    assert (booked[chart.INTEREST_INCOME], booked[chart.UNEARNED_INTEREST]) == (0, 0)
    assert accrual.accrue(*EVERYBODY, on=date(2026, 2, 1)) == 0
