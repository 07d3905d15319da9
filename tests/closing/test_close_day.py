"""The nightly close: once a day, after a crash, after missed days, around broken loans."""

from datetime import date, timedelta
from decimal import Decimal

import pytest
from django.core.management import CommandError, call_command

from lms import routing
from lms.closing import operations
from lms.closing.models import CloseFailure, DayClose
from lms.closing.operations import catch_up, close_day
from lms.errors import Refused
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
from tests.books import balances, prove

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


def pay(loan, amount, *, on: date) -> None:
    routing.take(
        method="cash", amount=Decimal(amount), reference=None, value_date=on,
        account=loan.number, by=factories.mutua(), on=on,
    )  # fmt: skip


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


def test_a_crash_in_the_middle_of_a_step_resumes_after_the_last_chunk(db, monkeypatch):
    monkeypatch.setattr(operations, "CHUNK", 1)
    for _ in range(3):
        lend(**DAILY)
    day = date(2026, 2, 17)

    def crash(step):
        if step.step == "penalties" and step.rows == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        close_day(day, tell=crash)
    assert Penalty.objects.count() == 2
    assert not operations.is_closed(day)
    assert DayClose.objects.get(step="penalties").status == "running"

    close_day(day)

    assert Penalty.objects.count() == 3
    assert operations.is_closed(day)
    assert DayClose.objects.get(step="penalties").rows == 3
    prove()


def test_one_broken_loan_stops_only_itself_and_is_tried_again(db, kamau):
    loans = [lend(**DAILY) for _ in range(4)]
    row = loans[2].repayments.get(number=1)
    words = "0.5% of the overdue instalment a day"
    broken = Penalty.objects.create(
        repayment=row, amount=1, charged_on=date(2026, 2, 16), rule=words, charged_by=kamau
    )

    close_day(date(2026, 2, 16))

    failure = CloseFailure.objects.get()
    assert (failure.loan, failure.step) == (loans[2], "penalties")
    assert "IntegrityError" in failure.error
    assert Penalty.objects.automatic().count() == 3
    assert LoanSnapshot.objects.count() == 4
    assert not operations.is_closed(date(2026, 2, 16))
    assert operations.failures(date(2026, 2, 16)) == 1

    Penalty.objects.filter(pk=broken.pk).update(rule="By hand")
    close_day(date(2026, 2, 16))

    failure.refresh_from_db()
    assert failure.resolved_at
    assert Penalty.objects.automatic().count() == 4
    assert operations.is_closed(date(2026, 2, 16))


def test_days_are_closed_in_order(db):
    close_day(date(2026, 2, 16))

    with pytest.raises(Refused, match="16 Feb 2026 was the last day closed"):
        close_day(date(2026, 2, 18))
    with pytest.raises(Refused, match="16 Feb 2026 is closed already"):
        close_day(date(2026, 2, 15))
    assert catch_up(date(2026, 2, 16)) == []


def test_interest_is_earned_by_the_day_and_waits_in_suspense_while_a_loan_does_not_perform(db):
    # 100,000 at 24%: 2,000 of interest fall due on 15 February, 31 days after the disbursement.
    loan = lend(income_basis="accrual", npl_days=2)
    close_day(date(2026, 1, 16))
    assert balances()["4010"] == Decimal("-64.52")  # 2,000 × 1 ÷ 31
    catch_up(FIRST_DUE)
    assert balances()["4010"] == Decimal(-2000)

    close_day(date(2026, 2, 16))
    # 1,851 fall due on 15 March, 28 days later.
    assert balances()["4010"] == Decimal("-2066.11")
    close_day(date(2026, 2, 17))

    assert NonPerforming.objects.get().principal == Decimal(100_000)
    assert (balances()["4010"], balances()["2050"]) == (0, Decimal("-2132.21"))
    position = Position.objects.get()
    assert position.interest_earned == position.interest_suspended == Decimal("2132.21")

    pay(loan, 9456, on=date(2026, 2, 18))
    assert balances()["4010"] == Decimal(-2000)
    close_day(date(2026, 2, 18))

    assert NonPerforming.objects.get().ended_on == date(2026, 2, 18)
    assert (balances()["4010"], balances()["2050"]) == (Decimal("-2198.32"), 0)
    prove()


def test_interest_beyond_the_principal_is_suspended_from_the_day_of_default(db):
    # 10,000 and 1,500 of interest; 1% a day of 11,500 is 115 a day.
    rule = {
        "penalty_base": "instalment", "penalty_value": 1, "penalty_frequency": "daily",
        "method": "single_payment", "rate": 15, "rate_period": "term",
        "number_of_repayments": 1, "npl_days": 91,
    }  # fmt: skip
    loan = factories.active(Decimal(10_000), product=factories.product(code="DUPLUM", **rule))
    due = loan.repayments.get().due_date
    close_day(due + timedelta(days=90))
    assert loan.repayments.get().penalties == 90 * 115  # 10,350
    close_day(due + timedelta(days=91))

    row = loan.repayments.get()
    assert row.owing_of("penalties") + row.owing_of("interest") == Decimal(10_000)
    assert row.outstanding == Decimal(20_000)
    close_day(due + timedelta(days=92))
    last = Penalty.objects.latest("pk")
    assert (last.amount, last.suspended) == (0, 115)
    assert loan.repayments.get().outstanding == Decimal(20_000)
    prove()


def test_classes_provisions_and_the_allowance_follow_the_days_past_due(db):
    loan = lend()
    close_day(FIRST_DUE + timedelta(days=31))

    assert Position.objects.get().classification == "Watch"
    snapshot = LoanSnapshot.objects.get()
    assert (snapshot.days_past_due, snapshot.arrears) == (31, Decimal(18_912))
    required = {
        row.table.code: (row.classification, row.required) for row in Provision.objects.all()
    }
    assert required == {
        "management": ("Watch", Decimal(5_000)),
        "cbk": ("Watch", Decimal(3_000)),
        "microfinance": ("Substandard", Decimal(25_000)),
        "sasra": ("Substandard", Decimal(25_000)),
    }
    assert (balances()["5030"], balances()["1190"]) == (5_000, -5_000)

    pay(loan, 18_912, on=FIRST_DUE + timedelta(days=32))
    close_day(FIRST_DUE + timedelta(days=32))

    # Two instalments paid: 84,939 are left, 1% of it.
    assert balances()["1190"] == Decimal("-849.39")
    prove()


def test_a_remainder_within_tolerance_makes_no_loan_late(db):
    loan = lend()
    pay(loan, 9_446, on=FIRST_DUE)
    close_day(date(2026, 2, 20))

    assert LoanSnapshot.objects.get().days_past_due == 0


@pytest.mark.parametrize(
    ("counts", "since", "days"), [(False, date(2026, 3, 15), 0), (True, FIRST_DUE, 9)]
)
def test_penalties_alone_keep_a_loan_late_where_the_setting_says_so(
    db, settings, counts, since, days
):
    settings.PENALTIES_MAKE_ARREARS = counts
    order = "interest_principal_fees_penalties"
    loan = lend(**DAILY, allocation_order=order, allocation_direction="vertical", surplus="credit")
    close_day(date(2026, 2, 22))
    pay(loan, 9_456, on=date(2026, 2, 23))  # all of the instalment, none of its penalties

    row = loan.repayments.get(number=1)
    assert (row.owing_of("principal"), row.owing_of("interest")) == (0, 0)
    assert row.owing_of("penalties") > 10
    assert Position.objects.get().overdue_since == since
    prove()  # rebuilt from its rows it says the same
    close_day(date(2026, 2, 23))
    close_day(date(2026, 2, 24))
    assert LoanSnapshot.objects.get(day=date(2026, 2, 24)).days_past_due == days
    assert Position.objects.get().overdue_since == since


def test_a_loan_restructured_today_keeps_its_class_for_the_night(db):
    loan = lend()
    Position.objects.update(classification="Doubtful")
    loan.restructured_on = FIRST_DUE
    loan.save(update_fields=["restructured_on"])

    close_day(FIRST_DUE)
    assert Position.objects.get().classification == "Doubtful"
    close_day(date(2026, 2, 16))
    assert Position.objects.get().classification == "Normal"


def test_interest_follows_the_balance_that_was_really_owed(db):
    loan = lend(recalculates=True, day_count="actual/365")
    first = loan.repayments.get(number=1).interest
    catch_up(FIRST_DUE)
    assert loan.repayments.get(number=1).interest == first

    close_day(date(2026, 2, 16))
    for day in range(17, 29):
        close_day(date(2026, 2, day))
    for day in range(1, 16):
        close_day(date(2026, 3, day))

    # Nothing was paid: 100,000 at 24% for 28 days.
    assert loan.repayments.get(number=2).interest == Decimal(1_841)
    prove()


def test_the_command_closes_catches_up_and_fails_with_the_broken_loan(db, kamau, capsys):
    loan = lend(**DAILY)
    call_command("close_day", date="2026-02-15")
    call_command("close_day", date="2026-02-17", catch_up=True)
    assert "2026-02-17 is closed" in capsys.readouterr().out

    Penalty.objects.create(
        repayment=loan.repayments.get(number=1), amount=1, charged_on=date(2026, 2, 18),
        rule="0.5% of the overdue instalment a day", charged_by=kamau,
    )  # fmt: skip
    with pytest.raises(CommandError, match=f"{loan.number}: penalties of 2026-02-18: Integrity"):
        call_command("close_day", date="2026-02-18")
    with pytest.raises(CommandError, match="is not over yet"):
        call_command("close_day", date="2999-01-01")
