from datetime import date
from decimal import Decimal

import pytest

from lms import routing
from lms.errors import Refused
from lms.loans.models import Penalty, Repayment
from lms.loans.operations import instalments, lifecycle
from tests import factories, nights
from tests.books import prove

D = Decimal
DAY = date(2026, 2, 1)


def change(row, kamau, **fields):
    return instalments.change(
        row,
        **{
            "due_date": row.due_date,
            "principal": row.principal,
            "interest": row.interest,
            "fees": row.fees,
            "reason": "Agreed",
            "by": kamau,
            "on": DAY,
            **fields,
        },
    )


def test_an_untouched_instalment_can_be_changed_and_the_books_follow(loan, kamau):
    row = loan.repayments.get(number=1)

    change(row, kamau, interest=D(1500), fees=D(200), due_date=date(2026, 2, 20))

    row.refresh_from_db()
    assert (row.interest, row.fees, row.due_date) == (D(1500), D(200), date(2026, 2, 20))
    assert row.history.first().history_change_reason == "Agreed"
    prove()


def test_a_changed_instalment_keeps_its_place_between_its_neighbours(loan, kamau):
    with pytest.raises(Refused, match="before 15 Mar 2026") as refusal:
        change(loan.repayments.get(number=1), kamau, due_date=date(2026, 3, 15))

    assert refusal.value.field == "due_date"


def test_more_principal_than_was_lent_cannot_be_scheduled(loan, kamau):
    row = loan.repayments.get(number=1)

    with pytest.raises(Refused, match="more principal on its instalments than was lent"):
        change(row, kamau, principal=row.principal + 1)

    prove()


def test_principal_taken_off_one_instalment_waits_for_another(loan, kamau):
    change(loan.repayments.get(number=1), kamau, principal=D(7000))
    loan.position.refresh_from_db()
    assert loan.position.unscheduled == D(456)
    second = loan.repayments.get(number=2)
    change(second, kamau, principal=second.principal + 456)
    loan.position.refresh_from_db()

    assert loan.position.unscheduled == 0
    prove()


def test_an_instalment_with_a_penalty_is_no_longer_edited(loan, kamau):
    row = loan.repayments.get(number=1)
    instalments.charge_penalty(row, amount=D(50), rule="Visit", by=kamau, on=date(2026, 2, 16))

    with pytest.raises(Refused, match="can no longer be edited"):
        change(row, kamau, interest=D(1))


def test_an_instalment_is_overdue_from_the_day_after_it_was_due(loan):
    row = loan.repayments.get(number=1)

    assert row.state(on=date(2026, 2, 15)) == "pending"
    assert row.state(on=date(2026, 2, 16)) == "overdue"
    assert (row.days_late(on=date(2026, 2, 15)), row.days_late(on=date(2026, 2, 16))) == (0, 1)
    assert list(Repayment.objects.overdue(on=date(2026, 2, 16))) == [row]
    assert loan.days_late(on=date(2026, 2, 16)) == 1


def test_states_split_the_instalments_without_overlap(loan):
    day = date(2026, 4, 1)

    found = {
        state: Repayment.objects.in_state(state, on=day).count()
        for state in ("pending", "partial", "overdue", "completed", "waived", "cancelled")
    }

    assert found == {
        "pending": 10, "partial": 0, "overdue": 2, "completed": 0, "waived": 0, "cancelled": 0
    }  # fmt: skip


def test_only_what_is_late_can_be_penalised_and_once_a_rule_and_day(loan, kamau):
    row = loan.repayments.get(number=1)

    with pytest.raises(Refused, match="is not overdue on 15 Feb 2026"):
        instalments.charge_penalty(row, amount=D(50), rule="x", by=kamau, on=date(2026, 2, 15))
    instalments.charge_penalty(row, amount=D(50), rule="x", by=kamau, on=date(2026, 2, 16))
    with pytest.raises(Refused, match="was charged for “x”"):
        instalments.charge_penalty(row, amount=D(50), rule="x", by=kamau, on=date(2026, 2, 16))

    assert Penalty.objects.get().charged_by == kamau
    prove()


def late_loan(**rule):
    return factories.active(product=factories.product(code="LATE", **rule))


def test_a_penalty_once_per_instalment_is_charged_after_grace_and_never_again(db):
    loan = late_loan(penalty_base="instalment", penalty_value=D(5), penalty_grace_days=3)

    assert nights.charge(on=date(2026, 2, 18)) == 0
    assert nights.charge(on=date(2026, 2, 19)) == 1
    assert nights.charge(on=date(2026, 2, 19)) == 0
    assert nights.charge(on=date(2026, 3, 10)) == 0

    assert loan.repayments.get(number=1).penalties == D(473)
    prove()


def test_daily_penalties_catch_up_missed_days_and_end_in_the_same_state(db):
    rule = {"penalty_base": "fixed", "penalty_value": D(20), "penalty_frequency": "daily"}
    loan = late_loan(**rule)
    for day in (16, 17, 18, 19, 20):
        nights.charge(on=date(2026, 2, day))
    every_night = loan.repayments.get(number=1).penalties

    other = factories.active(customer=factories.otieno(), product=factories.product(code="LATE"))
    nights.charge(on=date(2026, 2, 20))

    assert every_night == other.repayments.get(number=1).penalties == D(100)
    prove()


def test_missed_nights_add_up_to_the_same_shillings_as_every_night(db):
    # 0.95 a day: rounded night by night it would come to one shilling each.
    rule = {"penalty_base": "instalment", "penalty_value": D("0.01"), "penalty_frequency": "daily"}
    loan = late_loan(**rule)
    for day in range(16, 26):
        nights.charge(on=date(2026, 2, day))
    every_night = loan.repayments.get(number=1).penalties

    other = factories.active(customer=factories.otieno(), product=factories.product(code="LATE"))
    nights.charge(on=date(2026, 2, 25))

    assert every_night == other.repayments.get(number=1).penalties == D(9)
    prove()


@pytest.mark.parametrize(
    ("cap", "most"),
    [
        ({"penalty_cap_kind": "amount", "penalty_cap_value": D(500)}, D(500)),
        ({"penalty_cap_kind": "percent_of_principal", "penalty_cap_value": D("0.6")}, D(600)),
    ],
)
def test_a_cap_holds_for_all_charges_together_when_a_part_payment_changed_the_base(db, cap, most):
    rule = {"penalty_base": "instalment", "penalty_value": D("0.5"), "penalty_frequency": "daily"}
    loan = late_loan(**rule, **cap)
    nights.charge(on=date(2026, 2, 25))
    assert loan.repayments.get(number=1).penalties == D(473)

    routing.take(
        method="cash", amount=D(5473), reference=None, value_date=date(2026, 2, 25),
        account=loan.number, by=factories.mutua(), on=date(2026, 2, 25),
    )  # fmt: skip
    for month in (3, 4, 5, 6):
        nights.charge(on=date(2026, month, 14))

    assert loan.repayments.get(number=1).penalties == most
    prove()


def test_lateness_before_a_takeover_was_charged_by_the_old_system(db, kamau):
    rule = {"penalty_base": "fixed", "penalty_value": D(20), "penalty_frequency": "daily"}
    loan = factories.draft(product=factories.product(code="LATE", **rule))
    on = date(2026, 3, 20)
    lifecycle.take_over(loan, disbursed_on=date(2026, 1, 15), with_schedule=True, by=kamau, on=on)

    assert nights.charge(on=on) == 0
    nights.charge(on=date(2026, 3, 23))

    assert [row.penalties for row in loan.repayments.order_by("number")[:3]] == [D(60), D(60), D(0)]
    prove()
