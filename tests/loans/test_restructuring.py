"""New terms for a running loan, by figures that can be worked out on paper."""

from datetime import date
from decimal import Decimal

import pytest

from lms import routing
from lms.errors import Refused
from lms.ledger import chart
from lms.ledger.models import Transfer
from lms.ledger.operations import Line, post
from lms.loans.models import Loan, LoanChange, Position, Repayment
from lms.loans.operations import changes, collection, instalments, restructuring
from lms.loans.operations.night.recalculated import recalculate
from tests import factories
from tests.books import balances, prove

D = Decimal


def pay(loan, amount, on):
    return routing.take(
        method="cash", amount=D(amount), reference=None, value_date=on, account=loan.number,
        by=factories.mutua(), on=on,
    )  # fmt: skip


def rows_of(loan, **where):
    return [
        (row.number, row.due_date, row.principal, row.interest, row.status)
        for row in loan.repayments.filter(**where).order_by("number")
    ]


def everything(loan):
    """All that an undo must bring back, as the database holds it."""
    loan = Loan.objects.get(pk=loan.pk)
    cancelled = Repayment.Status.CANCELLED
    return (
        {name: getattr(loan, name) for name in changes.LOAN_FIELDS},
        list(loan.repayments.exclude(status=cancelled).values("id", *changes.ROW_FIELDS)),
        Position.objects.filter(loan=loan).values().get(),
        {account: amount for account, amount in balances().items() if amount},
    )


def books_agree(loan):
    """On the cash basis no interest is earned before it is paid."""
    prove()
    booked = balances()
    assert -booked[chart.UNEARNED_INTEREST] == booked[chart.INTEREST_RECEIVABLE]


# The loan of every test: 100,000 at 24% over 12 months from 15 January 2026, instalments of 9,456;
# rows 1 to 4 are 7,456 + 2,000, 7,605 + 1,851, 7,757 + 1,699 and 7,912 + 1,544.
def test_on_a_due_date_the_principal_left_is_spread_over_the_new_instalments(loan, kamau):
    pay(loan, 9456, date(2026, 2, 15))
    pay(loan, 9456, date(2026, 3, 15))
    pay(loan, 9456, date(2026, 4, 15))
    pay(loan, 9456, date(2026, 5, 15))

    change = restructuring.restructure(
        loan, number_of_repayments=12, arrears="carry", reason="Shop burnt", by=kamau,
        on=date(2026, 5, 15),
    )  # fmt: skip

    # 69,270 at 2% a month over 12: an instalment of 6,550 (6,550.15 exactly).
    made = rows_of(loan, version=2)
    assert [number for number, *_ in made] == list(range(13, 25))
    assert made[0] == (13, date(2026, 6, 15), D("5165.00"), D("1385.00"), "pending")
    assert made[1][1:4] == (date(2026, 7, 15), D("5268.00"), D("1282.00"))
    assert made[-1][1] == date(2027, 5, 15)
    assert sum(row[2] for row in made) == D("69270.00")
    assert {row[4] for row in rows_of(loan, version=1, number__gt=4)} == {"rescheduled"}
    loan.refresh_from_db()
    assert (loan.restructured_on, loan.number_of_repayments) == (date(2026, 5, 15), 12)
    assert loan.position.schedule_set_on == date(2026, 5, 15)
    assert change.kind == LoanChange.Kind.RESTRUCTURE
    assert "KES 69,270.00 over 12 instalments" in change.summary
    books_agree(loan)


def late_loan(loan, kamau):
    """Instalment 1 is paid but for 1,456; 2 and 3 are late; 300 of penalty on the second."""
    pay(loan, 8000, date(2026, 2, 15))  # 2,000 of interest and 6,000 of principal
    second = loan.repayments.get(number=2)
    instalments.charge_penalty(second, amount=D(300), rule="Visit", by=kamau, on=date(2026, 4, 2))
    return loan


def test_capitalised_arrears_become_principal_and_no_income(loan, kamau):
    late_loan(loan, kamau)

    wanted = restructuring.plan(
        Loan.objects.get(pk=loan.pk), on=date(2026, 4, 15), arrears="capitalise",
        number_of_repayments=10,
    )  # fmt: skip
    restructuring.restructure(
        loan, number_of_repayments=10, arrears="capitalise", reason="Drought", by=kamau,
        on=date(2026, 4, 15),
    )  # fmt: skip

    # Owed: principal 94,000, interest of rows 2 and 3 1,851 + 1,699 = 3,550, penalty 300.
    assert wanted.capitalised == {
        "interest": D("3550.00"), "fees": D("0.00"), "penalties": D("300.00")
    }  # fmt: skip
    assert wanted.principal == D("97850.00")
    loan.refresh_from_db()
    assert loan.capitalised == D("3850.00")
    assert loan.position.principal == D("97850.00")
    made = loan.repayments.filter(version=2).order_by("number")
    assert [(row.number, row.interest, row.penalties) for row in made[:2]] == [
        (13, D("1957.00"), D("0.00")),
        (14, D("1778.00"), D("0.00")),
    ]
    booked = balances()
    assert -booked[chart.CAPITALISED_INTEREST] == D("3550.00")
    assert -booked[chart.INTEREST_INCOME] == D("2000.00")
    assert -booked[chart.PENALTY_INCOME] == D("300.00")
    books_agree(loan)


def test_capitalised_interest_is_earned_by_the_last_principal_that_is_paid(loan, kamau):
    late_loan(loan, kamau)
    restructuring.restructure(
        loan, number_of_repayments=2, arrears="capitalise", reason="Drought", by=kamau,
        on=date(2026, 4, 15),
    )  # fmt: skip
    first, last = loan.repayments.filter(version=2).order_by("number")

    pay(loan, first.outstanding, first.due_date)
    assert -balances()[chart.CAPITALISED_INTEREST] == D("3550.00")
    assert -balances()[chart.INTEREST_INCOME] == D(2000) + first.interest
    paid = pay(loan, last.outstanding, last.due_date)

    assert balances()[chart.CAPITALISED_INTEREST] == 0
    assert -balances()[chart.INTEREST_INCOME] == D(2000) + first.interest + last.interest + 3550
    loan.refresh_from_db()
    assert loan.status == "closed"
    books_agree(loan)
    collection.reverse_payment(paid, reason="Bounced", by=kamau, on=last.due_date)
    assert -balances()[chart.CAPITALISED_INTEREST] == D("3550.00")
    books_agree(loan)


def test_carried_arrears_fall_due_with_the_first_new_instalment(loan, kamau):
    late_loan(loan, kamau)

    restructuring.restructure(
        loan, number_of_repayments=10, arrears="carry", reason="Drought", by=kamau,
        on=date(2026, 4, 15),
    )  # fmt: skip

    first = loan.repayments.get(number=13)
    # 94,000 at 2% is 1,880 for the month, and 3,550 + 300 of arrears.
    assert (first.interest, first.penalties) == (D("5430.00"), D("300.00"))
    loan.refresh_from_db()
    assert (loan.capitalised, loan.position.principal) == (D("0.00"), D("94000.00"))
    books_agree(loan)
    again = restructuring.owed_on(loan, on=date(2026, 4, 15), rebate="none")
    assert (again.principal, again.interest, again.penalties) == (
        D("94000.00"), D("3550.00"), D("300.00")
    )  # fmt: skip


def test_between_due_dates_the_days_gone_by_are_charged_and_the_time_to_come_is_not(loan, kamau):
    pay(loan, 9456, date(2026, 2, 15))

    restructuring.restructure(
        loan, number_of_repayments=6, first_due=date(2026, 4, 1), rate=D(12), arrears="carry",
        reason="Better price", by=kamau, on=date(2026, 3, 1),
    )  # fmt: skip

    # 92,544 at 24% for the 14 days since 15 February: 851.91, in whole shillings 852. The new
    # schedule is 1% a month, its first period exactly one month: 925.
    first = loan.repayments.get(number=13)
    assert (first.due_date, first.interest) == (date(2026, 4, 1), D("1777.00"))
    books_agree(loan)


def test_a_flat_loan_drops_the_interest_of_instalments_not_begun(kamau):
    product = factories.product(
        code="FLAT", method="flat", rate=D(3), rate_period="month", number_of_repayments=6
    )
    loan = factories.active(D(50_000), product=product)
    pay(loan, 9833, date(2026, 2, 15))

    restructuring.restructure(
        loan, number_of_repayments=10, arrears="carry", reason="Sick", by=kamau,
        on=date(2026, 3, 15),
    )  # fmt: skip

    # Row 2 is due and unpaid: 1,500 of interest. 41,667 at 3% flat over 10 is 12,500.10.
    made = list(loan.repayments.filter(version=2).order_by("number"))
    assert sum(row.principal for row in made) == D("41667.00")
    assert sum(row.interest for row in made) == D("14000.00")
    assert made[0].interest == D("2750.00")
    books_agree(loan)


def test_undoing_a_restructuring_brings_everything_back(loan, kamau):
    late_loan(loan, kamau)
    was = everything(loan)

    change = restructuring.restructure(
        loan, number_of_repayments=10, rate=D(18), arrears="capitalise", reason="Drought",
        by=kamau, on=date(2026, 4, 15),
    )  # fmt: skip
    changes.undo(change, reason="Wrong loan", by=kamau, on=date(2026, 4, 15))

    assert everything(loan) == was
    assert {row[4] for row in rows_of(loan, version=2)} == {"cancelled"}
    change.refresh_from_db()
    assert (change.undone_on, change.undone_by, change.undone_because) == (
        date(2026, 4, 15), kamau, "Wrong loan"
    )  # fmt: skip
    books_agree(loan)
    with pytest.raises(Refused, match="undone on 15 Apr 2026 already"):
        changes.undo(change, reason="Again", by=kamau, on=date(2026, 4, 15))


def test_only_the_last_change_is_undone_and_only_while_nothing_came_after(loan, kamau):
    first = restructuring.restructure(
        loan, number_of_repayments=10, arrears="carry", reason="a", by=kamau, on=date(2026, 2, 15)
    )
    second = restructuring.restructure(
        loan, number_of_repayments=20, arrears="carry", reason="b", by=kamau, on=date(2026, 3, 1)
    )
    with pytest.raises(Refused, match="came later: undo that first"):
        changes.undo(first, reason="x", by=kamau, on=date(2026, 3, 2))
    paid = pay(loan, 500, date(2026, 3, 15))
    with pytest.raises(Refused, match=f"{paid.number} .* was placed on it since"):
        changes.undo(second, reason="x", by=kamau, on=date(2026, 3, 20))
    with pytest.raises(Refused, match="Give a reason"):
        changes.undo(second, reason=" ", by=kamau, on=date(2026, 3, 20))
    books_agree(loan)

    collection.reverse_payment(paid, reason="Bounced", by=kamau, on=date(2026, 3, 20))
    changes.undo_last(loan, reason="x", by=kamau, on=date(2026, 3, 20))
    changes.undo_last(loan, reason="x", by=kamau, on=date(2026, 3, 20))

    assert loan.repayments.unpaid().count() == 12
    assert loan.repayments.filter(status="cancelled").count() == 30
    books_agree(loan)
    with pytest.raises(Refused, match="Nothing was changed"):
        changes.undo_last(loan, reason="x", by=kamau, on=date(2026, 3, 20))


@pytest.mark.parametrize(
    ("answers", "field", "sentence"),
    [
        ({"first_due": date(2026, 3, 1)}, "first_due", "must fall due after"),
        ({"arrears": "forget"}, "arrears", "Arrears are one of"),
        ({"number_of_repayments": 0}, "number_of_repayments", "1 to 1,000"),
        ({"fixed_instalment": D(10)}, "fixed_instalment", "does not cover the interest"),
        ({"on": date(2026, 1, 14)}, "on", "was paid out on 15 Jan 2026"),
        ({"reason": ""}, "reason", "Give a reason"),
    ],
)
def test_terms_that_cannot_work_are_refused_and_move_nothing(loan, kamau, answers, field, sentence):
    before = everything(loan), Transfer.objects.count()

    with pytest.raises(Refused, match=sentence) as refusal:
        restructuring.restructure(
            loan,
            **{
                "number_of_repayments": 10, "arrears": "carry", "reason": "x", "by": kamau,
                "on": date(2026, 3, 1), **answers,
            },
        )  # fmt: skip

    assert refusal.value.field == field
    assert (everything(loan), Transfer.objects.count()) == before
    assert LoanChange.objects.count() == 0


def test_a_top_up_pays_out_and_spreads_all_principal_anew(loan, kamau):
    pay(loan, 9456, date(2026, 2, 15))
    was = everything(loan)

    change = restructuring.top_up(
        loan, amount=D(20_000), method="mpesa", reference="UKL7AB12CD", number_of_repayments=12,
        reason="Second shop", by=kamau, on=date(2026, 2, 15),
    )  # fmt: skip

    # 92,544 + 20,000 = 112,544 at 2% over 12.
    made = loan.repayments.filter(version=2).order_by("number")
    assert sum(row.principal for row in made) == D("112544.00")
    assert (made[0].interest, made[0].principal + made[0].interest) == (
        D("2251.00"), D("10642.00")
    )  # fmt: skip
    loan.refresh_from_db()
    assert (loan.principal, loan.position.principal) == (D("120000.00"), D("112544.00"))
    assert loan.restructured_on is None
    assert (change.payout.kind, change.payout.amount) == ("top_up", D("20000.00"))
    assert -balances()[chart.MPESA_PAYBILL] == D("20000.00")
    books_agree(loan)

    with pytest.raises(Refused, match="when the money is back"):
        changes.undo(change, reason="Sent twice", by=kamau, on=date(2026, 2, 16))
    changes.undo(change, reason="Sent twice", by=kamau, on=date(2026, 2, 16), money_is_back=True)
    assert everything(loan) == was
    change.payout.refresh_from_db()
    assert change.payout.reversed_on == date(2026, 2, 16)


def test_a_top_up_of_a_late_loan_flags_it(loan, kamau):
    restructuring.top_up(
        loan, amount=D(20_000), method="cash", reference=None, number_of_repayments=12,
        reason="x", by=kamau, on=date(2026, 3, 1),
    )  # fmt: skip

    loan.refresh_from_db()
    assert loan.restructured_on == date(2026, 3, 1)


@pytest.mark.parametrize(
    ("amount", "limit", "sentence"),
    [
        (D(900_001), 5_000_000, "lends at most KES 1,000,000.00"),
        (D(50_000), 100_000, "above your approval limit of KES 100,000.00"),
        (D(0), 100_000, "more than KES 0.00"),
        (D("0.001"), 200_000, "whole cents"),
    ],
)
def test_a_top_up_keeps_to_the_limits(loan, amount, limit, sentence):
    chief = factories.staff("chief", "Manager", approval_limit=D(limit))
    before = everything(loan)

    with pytest.raises(Refused, match=sentence):
        restructuring.top_up(
            loan, amount=amount, method="cash", reference=None, number_of_repayments=12,
            reason="x", by=chief, on=date(2026, 2, 1),
        )  # fmt: skip

    assert everything(loan) == before


def test_on_the_accrual_basis_what_was_earned_and_not_paid_is_earned_anew(kamau):
    loan = factories.active(product=factories.product(income_basis="accrual"))
    pay(loan, 9456, date(2026, 2, 15))
    day = date(2026, 3, 15)
    # Two months are earned, 2,000 and 1,851; one is paid.
    post(
        kind="accrual", reference="accrual:1", on=day, narration="Earned", subject=loan.number,
        lines=[Line(chart.UNEARNED_INTEREST, chart.INTEREST_INCOME, D(3851))],
        branch_id=loan.branch_id, by=None,
    )  # fmt: skip
    Position.objects.filter(loan=loan).update(interest_earned=D(3851))
    was = everything(loan)

    change = restructuring.restructure(
        loan, number_of_repayments=12, arrears="carry", reason="Sick", by=kamau, on=day
    )

    assert -balances()[chart.INTEREST_INCOME] == D("2000.00")
    assert Position.objects.get().interest_earned == D("2000.00")
    books_agree(loan)
    changes.undo(change, reason="Wrong loan", by=kamau, on=day)
    assert everything(loan) == was


def test_lateness_is_charged_before_the_terms_change_and_foreseen_in_the_plan(kamau):
    product = factories.product(
        penalty_base="instalment", penalty_value=D(1), penalty_frequency="daily"
    )
    loan = factories.active(product=product)

    # 9,456 was due on 15 February: 9 days late by the eve of the 25th, at 1% a day 851.
    on = date(2026, 2, 25)
    planned = restructuring.plan(
        Loan.objects.get(pk=loan.pk), on=on, arrears="capitalise", number_of_repayments=12
    )
    assert Repayment.objects.get(number=1).penalties == 0
    restructuring.restructure(
        loan, number_of_repayments=12, arrears="capitalise", reason="x", by=kamau, on=on
    )

    assert Repayment.objects.get(number=1).penalties == D("851.00")
    assert planned.capitalised["penalties"] == D("851.00")
    assert sum(row.principal for row in planned.made) == D("102851.00")
    loan.refresh_from_db()
    assert loan.position.principal == D("102851.00")
    books_agree(loan)


def test_interest_by_the_actual_balance_starts_anew_with_the_schedule(kamau):
    loan = factories.active(product=factories.product(recalculates=True, day_count="actual/365"))
    day = date(2026, 3, 1)
    restructuring.restructure(
        loan, number_of_repayments=10, first_due=date(2026, 4, 1), arrears="carry", reason="x",
        by=kamau, on=day,
    )  # fmt: skip
    first = loan.repayments.get(version=2, due_date=date(2026, 4, 1))

    recalculate(loan.pk, loan.pk, on=first.due_date)

    # Carried are 2,038 for the 31 days to 15 February, and 852 for the 14 since on the principal
    # not yet due; then all 100,000 at 24% costs 2,038.36 for the 31 days since 1 March.
    assert loan.repayments.get(pk=first.pk).interest == D(2038) + D(852) + D(2038)
    books_agree(loan)


def test_a_loan_whose_interest_follows_its_balance_does_not_become_flat(kamau):
    loan = factories.active(product=factories.product(recalculates=True, day_count="actual/365"))

    with pytest.raises(Refused, match=r"Flat interest does not follow the balance\.") as refusal:
        restructuring.plan(loan, on=date(2026, 3, 1), method="flat")

    assert refusal.value.field == "method"
