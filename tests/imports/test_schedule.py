"""What a schedule file does to loans: rows, money, books, history; and what it never does."""

from datetime import date
from decimal import Decimal

import pytest

from lms.errors import Refused
from lms.imports import operations
from lms.ledger import chart
from lms.ledger.models import JournalEntry
from lms.loans.models import Allocation, Loan, Penalty, Repayment, Waiver
from lms.loans.operations import collection, lifecycle, relief
from lms.money import ZERO
from lms.payments.models import Payment
from lms.routing import take
from tests import books, factories
from tests.imports.papers import (
    DISBURSED,
    HEADER,
    ON,
    checked,
    counts,
    imported,
    rows,
    running,
    wrong,
)

pytestmark = pytest.mark.django_db


def two(loan: Loan, *, paid: str = "", status: str = "") -> str:
    """Two instalments of KES 5,500.00 that repay KES 10,000.00."""
    return HEADER + (
        f"{loan.number},1,2026-02-05,5500.00,5000.00,500.00,,,{paid},{status}\n"
        f"{loan.number},2,2026-03-05,5500.00,5000.00,500.00,,,,\n"
    )


def unsplit(*lines: str) -> str:
    return "loan,number,due_date,amount_due\n" + "\n".join(lines) + "\n"


def test_a_new_schedule_stands_as_the_file_says_and_the_books_agree():
    loan = running()

    job = imported(two(loan))

    assert counts(job) == {"new": 2}
    assert rows(loan, "number", "due_date", "principal", "interest", "status") == [
        (1, date(2026, 2, 5), Decimal("5000.00"), Decimal("500.00"), "pending"),
        (2, date(2026, 3, 5), Decimal("5000.00"), Decimal("500.00"), "pending"),
    ]
    assert books.balances()[chart.INTEREST_RECEIVABLE] == Decimal("1000.00")
    assert books.balances()[chart.UNEARNED_INTEREST] == Decimal("-1000.00")
    loan.position.refresh_from_db()
    assert loan.position.unscheduled == ZERO
    books.prove()


def test_one_entry_a_loan_names_the_import():
    loan = running()

    job = imported(two(loan))

    entry = JournalEntry.objects.get(kind="schedule_import")
    assert entry.reference == f"import:{job.pk}:{loan.pk}"
    assert entry.posted_by == factories.kamau()


def test_history_says_who_and_which_line_of_which_file():
    loan = running()

    imported(two(loan), filename="tujenge.csv")

    found = Repayment.history.filter(loan=loan).order_by("number")
    assert [
        (row.number, row.history_type, row.history_change_reason, row.history_user) for row in found
    ] == [
        (1, "+", "Imported from tujenge.csv, line 2", factories.kamau()),
        (2, "+", "Imported from tujenge.csv, line 3", factories.kamau()),
    ]


def test_a_file_imported_twice_changes_nothing():
    loan = running()
    text = two(loan, paid="1200.00", status="partial")
    imported(text)
    entries, history = JournalEntry.objects.count(), Repayment.history.count()

    job = checked(text)

    assert counts(job) == {"unchanged": 2}
    with pytest.raises(Refused, match="there is nothing to import"):
        operations.confirm(job, leave_out_bad=False, by=job.created_by)
    job = operations.apply(job, by=job.created_by, on=ON)
    assert job.status == "done"
    assert (JournalEntry.objects.count(), Repayment.history.count()) == (entries, history)
    books.prove()


def test_a_file_changes_nothing_after_real_payments_came():
    loan = running()
    text = two(loan, paid="1200.00", status="partial")
    imported(text)
    take(
        method="cash", amount=Decimal(4300), reference="RB-1", value_date=ON,
        account=loan.number, by=factories.mutua(), on=ON,
    )  # fmt: skip

    job = checked(text)

    assert counts(job) == {"unchanged": 2}


def test_a_fully_paid_loan_closes_and_the_same_file_is_still_unchanged():
    loan = running()
    text = HEADER + (
        f"{loan.number},1,2026-02-05,5500,5000,500,,,,paid\n"
        f"{loan.number},2,2026-03-05,5500,5000,500,,,5500,cleared\n"
    )

    imported(text)

    loan.refresh_from_db()
    assert (loan.status, loan.closed_on) == ("closed", ON)
    assert rows(loan, "status", "paid_on") == [("completed", ON), ("completed", ON)]
    assert counts(checked(text)) == {"unchanged": 2}
    books.prove()


def test_a_closed_loan_takes_no_new_instalment():
    loan = running()
    imported(HEADER + f"{loan.number},1,2026-02-05,11000,10000,1000,,,11000,\n")

    job = checked(HEADER + f"{loan.number},2,2026-05-05,100,0,100,,,,\n")

    assert wrong(job) == [(2, "loan", f"{loan.number} is closed: its schedule stays as it is.")]


def test_what_was_paid_before_becomes_one_opening_payment_in_the_loans_order():
    loan = running()

    imported(two(loan, paid="1200.00"))

    payment = Payment.objects.get()
    assert (payment.method, payment.reference, payment.amount) == (
        "opening", None, Decimal("1200.00"),
    )  # fmt: skip
    assert (payment.status, payment.value_date, payment.account) == ("allocated", ON, loan.number)
    assert list(Allocation.objects.values_list("repayment__number", "component", "amount")) == [
        (1, "interest", Decimal("500.00")),
        (1, "principal", Decimal("700.00")),
    ]
    booked = books.balances()
    assert booked[chart.INTEREST_INCOME] == ZERO
    assert booked[chart.UNEARNED_INTEREST] == Decimal("-500.00")
    assert rows(loan, "status") == [("partial",), ("pending",)]
    books.prove()


def test_an_opening_payment_can_be_reversed_like_any_other():

    loan = running()
    imported(two(loan, paid="1200.00"))

    collection.reverse_payment(
        Payment.objects.get(), reason="Never paid", by=factories.mutua(), on=ON
    )

    assert rows(loan, "status") == [("pending",), ("pending",)]
    books.prove()


def test_more_paid_before_takeover_adds_the_difference():
    loan = running()
    imported(two(loan, paid="1200.00"))

    job = imported(two(loan, paid="2000.00"))

    assert counts(job) == {"changed": 1, "unchanged": 1}
    assert job.summary["changed"][0]["message"] == "paid KES 1,200.00 → KES 2,000.00"
    assert [p.amount for p in Payment.objects.order_by("pk")] == [Decimal(1200), Decimal(800)]
    books.prove()


def test_less_paid_before_takeover_is_wrong():
    loan = running()
    imported(two(loan, paid="1200.00"))

    job = checked(two(loan, paid="700.00"))

    assert wrong(job) == [
        (
            2,
            "amount_paid",
            "It was taken over as paid KES 1,200.00: record a reversal instead of importing "
            "KES 700.00.",
        )
    ]
    assert counts(job) == {"wrong": 1, "left_out": 1}


def test_an_untouched_instalment_changes_and_the_difference_is_booked():
    loan = running()
    imported(two(loan))

    job = imported(
        HEADER + f"{loan.number},2,2026-03-12,5300.00,5000.00,300.00,,,,\n",
        filename="corrected.csv",
    )

    assert job.summary["changed"][0]["message"] == (
        "due_date 05 Mar 2026 → 12 Mar 2026; interest KES 500.00 → KES 300.00"
    )
    assert books.balances()[chart.INTEREST_RECEIVABLE] == Decimal("800.00")
    last = Repayment.history.filter(loan=loan).order_by("-history_id").first()
    assert (last.history_type, last.history_change_reason) == (
        "~", "Imported from corrected.csv, line 2",
    )  # fmt: skip
    books.prove()


@pytest.mark.parametrize("line", ["2026-02-06,5500.00,5000.00,500.00", "2026-02-05,5600,5000,600"])
def test_an_instalment_on_which_something_was_paid_does_not_change(line):
    loan = running()
    imported(two(loan, paid="100.00"))

    job = checked(HEADER + f"{loan.number},1,{line},,,,\n")

    [(number, column, message)] = wrong(job)
    assert number == 2
    assert column == ("due_date" if "02-06" in line else "interest")
    assert "something was paid, waived or charged on it here" in message


def test_penalties_come_with_a_row_of_their_own():
    loan = running()
    text = HEADER + f"{loan.number},1,2026-02-05,11050,10000,1000,,50,,overdue\n"

    imported(text)

    charge = Penalty.objects.get()
    assert (charge.rule, charge.amount, charge.charged_on) == ("Before takeover", 50, ON)
    assert books.balances()[chart.PENALTIES_RECEIVABLE] == Decimal("50.00")
    assert counts(checked(text)) == {"unchanged": 1}
    books.prove()


def test_what_was_waived_before_is_no_loss_of_this_office():
    loan = running()
    text = HEADER + (
        f"{loan.number},1,2026-02-05,5550,5000,500,20,30,1000,waived\n"
        f"{loan.number},2,2026-03-05,5500,5000,500,,,,\n"
    )

    imported(text)

    assert list(Waiver.objects.order_by("pk").values_list("component", "amount", "reason")) == [
        ("principal", Decimal("4550.00"), "Waived before takeover"),
    ]
    booked = books.balances()
    assert (booked[chart.WAIVERS], booked[chart.LOANS_WRITTEN_OFF]) == (ZERO, ZERO)
    assert rows(loan, "status") == [("completed",), ("pending",)]
    assert counts(checked(text)) == {"unchanged": 2}
    books.prove()


def test_interest_waived_before_was_never_earned():
    loan = running()

    imported(
        HEADER
        + f"{loan.number},1,2026-02-05,5500,5000,500,,,,waived\n"
        + f"{loan.number},2,2026-03-05,5500,5000,500,,,,\n"
    )

    assert books.balances()[chart.UNEARNED_INTEREST] == Decimal("-500.00")
    assert rows(loan, "status") == [("waived",), ("pending",)]
    books.prove()


def test_cancelled_lines_are_kept_and_not_counted():
    loan = running()
    text = HEADER + (
        f"{loan.number},1,2026-02-05,5500,5000,500,,,,cancelled\n"
        f"{loan.number},2,2026-03-05,11000,10000,1000,,,,\n"
    )

    imported(text)

    assert rows(loan, "status") == [("cancelled",), ("pending",)]
    assert books.balances()[chart.INTEREST_RECEIVABLE] == Decimal("1000.00")
    assert counts(checked(text)) == {"unchanged": 2}
    books.prove()


def test_an_instalment_can_be_cancelled_by_a_later_file():
    loan = running()
    imported(two(loan))

    imported(
        HEADER
        + f"{loan.number},1,2026-02-05,5500,5000,500,,,,cancelled\n"
        + f"{loan.number},2,2026-03-05,10500,10000,500,,,,\n"
    )

    assert books.balances()[chart.INTEREST_RECEIVABLE] == Decimal("500.00")
    books.prove()


def test_what_was_cancelled_here_stays_cancelled():
    loan = running()
    imported(two(loan))
    first = loan.repayments.get(number=1)
    relief.cancel(first, reason="Agreed", by=factories.kamau(), on=ON)

    job = checked(two(loan))

    assert wrong(job) == [
        (
            2,
            "number",
            f"Instalment 1 of {loan.number} was cancelled here: delete the line, or give the "
            "instalment another number.",
        )
    ]


def test_amounts_alone_are_split_so_that_the_principal_is_what_was_lent():
    loan = running("10000.00")
    text = unsplit(
        f"{loan.number},1,2026-02-05,3666.67",
        f"{loan.number},2,2026-03-05,3666.67",
        f"{loan.number},3,2026-04-05,3666.66",
    )

    imported(text)

    assert rows(loan, "principal", "interest") == [
        (Decimal("3333.34"), Decimal("333.33")),
        (Decimal("3333.33"), Decimal("333.34")),
        (Decimal("3333.33"), Decimal("333.33")),
    ]
    assert counts(checked(text)) == {"unchanged": 3}
    books.prove()


def test_amounts_alone_leave_the_split_of_a_schedule_made_here():
    loan = factories.active()
    lines = [
        f"{loan.number},{row.number},{row.due_date},{row.amount_due}"
        for row in loan.repayments.all()
    ]

    assert counts(checked(unsplit(*lines))) == {"unchanged": 12}


def test_amounts_below_what_was_lent_are_wrong_on_every_line():
    loan = running()

    job = checked(unsplit(f"{loan.number},1,2026-02-05,4000", f"{loan.number},2,2026-03-05,4000"))

    sentence = (
        f"The instalments of {loan.number} sum to KES 8,000.00, less than the KES 10,000.00 that "
        "was lent: correct the amounts or add the instalments that are missing."
    )
    assert wrong(job) == [(2, "amount_due", sentence), (3, "amount_due", sentence)]


def test_a_line_without_a_split_among_split_ones_is_wrong():
    loan = running()

    job = checked(
        HEADER
        + f"{loan.number},1,2026-02-05,5500,5000,500,,,,\n"
        + f"{loan.number},2,2026-03-05,5500,,,,,,\n"
    )

    [(line, column, message)] = wrong(job)
    assert (line, column) == (3, "principal")
    assert "say it here too, or on none of its lines" in message


def test_a_missing_principal_is_what_the_charges_leave():
    loan = running()

    imported(
        "loan,number,due_date,amount_due,interest\n"
        f"{loan.number},1,2026-02-05,5500,500\n{loan.number},2,2026-03-05,5500,500\n"
    )

    assert rows(loan, "principal") == [(Decimal("5000.00"),), (Decimal("5000.00"),)]


def test_the_principal_column_must_sum_to_what_was_lent():
    loan = running()

    job = checked(
        HEADER
        + f"{loan.number},1,2026-02-05,5500,5000,500,,,,\n"
        + f"{loan.number},2,2026-03-05,4500,4000,500,,,,\n"
    )

    sentence = (
        f"The principal of {loan.number} sums to KES 9,000.00 but KES 10,000.00 was lent: "
        "correct the principal column."
    )
    assert wrong(job) == [(2, "principal", sentence), (3, "principal", sentence)]


@pytest.mark.parametrize(
    ("line", "column", "sentence"),
    [
        (
            "1,2026-02-05,5500.00,5000.00,400.00,,,,",
            "amount_due",
            "Principal, interest, fees and penalty sum to KES 5,400.00, but the amount due is "
            "KES 5,500.00: correct one of them.",
        ),
        (
            "1,2026-02-05,11000,10000,1000,,,12000,",
            "amount_paid",
            "KES 12,000.00 was paid but only KES 11,000.00 was due: put what was overpaid on the "
            "next instalment, or take it as a payment.",
        ),
        (
            "1,2026-02-05,11000,10000,1000,,,500,unpaid",
            "status",
            "KES 500.00 was paid on it, so it is not unpaid: correct the status or the amount "
            "paid.",
        ),
        (
            "1,2026-02-05,11000,10000,1000,,,500,completed",
            "status",
            "It is called completed but KES 500.00 of KES 11,000.00 was paid: write partial, or "
            "correct the amount paid.",
        ),
        (
            "1,2026-02-05,11000,10000,1000,,,,partial",
            "amount_paid",
            "It is called partial: write how much was paid, more than KES 0.00 and less than "
            "KES 11,000.00.",
        ),
        (
            "1,2026-02-05,11000,10000,1000,,,11000,waived",
            "status",
            "All of it was paid, so it is not waived: write completed.",
        ),
        (
            "1,2026-05-05,11000,10000,1000,,,,overdue",
            "status",
            "It falls due on 05 May 2026, so it is not overdue yet: correct the date or the "
            "status.",
        ),
        (
            "1,2026-01-05,11000,10000,1000,,,,",
            "due_date",
            "{loan} was disbursed on 05 Jan 2026: an instalment falls due after that.",
        ),
        (
            "0,2026-02-05,11000,10000,1000,,,,",
            "number",
            "Instalments are numbered from 1, so 0 cannot be right.",
        ),
        (
            "1,2026-02-05,0,0,0,,,,",
            "amount_due",
            "The amount due is zero. Write what falls due, or delete the line.",
        ),
        (
            "1,2026-02-05,-5,,,,,,",
            "amount_due",
            "KES -5.00 is negative. Write the amount without a minus.",
        ),
        (
            "1,2026-02-05,11000,10000,1000,,,,gone",
            "status",
            "“gone” is not a status. Write pending, partial, completed, overdue, waived or "
            "cancelled, or leave it empty.",
        ),
        (
            "1,02/13/2026,11000,10000,1000,,,,",
            "due_date",
            "“02/13/2026” has no month 13. Write the day first, like 13/2/2026.",
        ),
        ("1,,11000,10000,1000,,,,", "due_date", "The date is empty. Write it like 2026-01-31 or "
         "31/01/2026."),
    ],
)  # fmt: skip
def test_a_bad_line_names_its_column_and_what_to_do(line, column, sentence):
    loan = running()

    job = checked(HEADER + f"{loan.number},{line}\n")

    assert wrong(job) == [(2, column, sentence.format(loan=loan.number))]


def test_the_same_instalment_twice_names_the_other_line():
    loan = running()
    line = f"{loan.number},1,2026-02-05,11000,10000,1000,,,,\n"

    job = checked(HEADER + line + line.replace(loan.number, f"ln {loan.pk}"))

    assert wrong(job) == [
        (
            3,
            "number",
            f"Instalment 1 of {loan.number} is on line 2 already: delete one of the two.",
        )
    ]


def test_due_dates_follow_the_numbers():
    loan = running()

    job = checked(
        HEADER
        + f"{loan.number},2,2026-02-05,5500,5000,500,,,,\n"
        + f"{loan.number},1,2026-03-05,5500,5000,500,,,,\n"
    )

    assert wrong(job) == [
        (
            2,
            "due_date",
            "Instalment 2 is due on 05 Feb 2026, not after instalment 1 on 05 Mar 2026: due "
            "dates follow the numbers.",
        )
    ]


def test_due_dates_fit_between_instalments_that_are_not_in_the_file():
    loan = running()
    imported(two(loan))

    job = checked(HEADER + f"{loan.number},1,2026-03-06,5500,5000,500,,,,\n")

    assert [(line, column) for line, column, _ in wrong(job)] == [(2, "due_date")]


def test_a_loan_that_is_not_disbursed_has_no_schedule():
    loan = factories.draft()

    job = checked(HEADER + f"{loan.number},1,2026-02-05,100,100,,,,,\n")

    assert wrong(job) == [
        (
            2,
            "loan",
            f"{loan.number} is not disbursed yet: its schedule is made when it is paid out.",
        )
    ]


def test_a_withdrawn_loan_has_no_schedule():
    loan = factories.draft()
    lifecycle.withdraw(loan, reason="No longer needed", by=factories.kamau(), on=ON)

    job = checked(HEADER + f"{loan.number},1,2026-02-05,100,100,,,,,\n")

    assert wrong(job) == [(2, "loan", f"{loan.number} was withdrawn: it has no schedule.")]


def test_loans_of_another_branch_are_not_known():
    loan = running()
    mombasa = factories.staff("amina", "Manager", branch=factories.branch("MSA", "Mombasa"))

    job = checked(two(loan), by=mombasa)

    assert [(line, column) for line, column, _ in wrong(job)] == [(2, "loan"), (3, "loan")]
    assert f"There is no loan “{loan.number}” among those you may see." in wrong(job)[0][2]


def test_the_number_in_the_old_system_is_known():
    loan = running(legacy_number="TJ/2041")

    imported(two(loan).replace(loan.number, "tj/2041"))

    assert loan.repayments.count() == 2


def test_a_text_that_means_two_loans_is_wrong():
    loan = running()
    other = running()
    Loan.objects.filter(pk=other.pk).update(legacy_number=loan.number)  # from before it was refused

    job = checked(HEADER + f"{loan.number},1,2026-02-05,11000,10000,1000,,,,\n")

    assert wrong(job)[0][2] == (
        f"“{loan.number}” means two loans, {loan.number} and {other.number}: write the number of "
        "this office, like LN000123."
    )


def test_one_wrong_line_keeps_the_whole_file_out():
    good, bad = running(), running()
    text = two(good) + f"{bad.number},1,2026-02-05,abc,,,,,,\n"

    job = checked(text)

    assert counts(job) == {"new": 2, "wrong": 1}
    with pytest.raises(Refused, match="1 line is wrong, so nothing was imported"):
        operations.apply(job, by=job.created_by, on=ON)
    assert Repayment.objects.count() == 0


def test_bad_loans_can_be_left_out_whole():
    good, bad = running(), running()
    text = two(good) + two(bad).removeprefix(HEADER).replace("2026-03-05", "tomorrow")

    job = imported(text, leave_out_bad=True)

    assert counts(job) == {"new": 2, "wrong": 1, "left_out": 1}
    assert (good.repayments.count(), bad.repayments.count()) == (2, 0)
    [line] = job.summary["left_out"]
    assert (line["line"], line["message"]) == (
        4,
        f"Line 5 of {bad.number} is wrong, and a loan is imported whole.",
    )
    books.prove()


def test_lines_of_one_loan_may_lie_apart():
    first, second = running(), running()
    lines = two(first).splitlines()[1:] + two(second).splitlines()[1:]

    imported(HEADER + "\n".join([lines[0], lines[2], lines[1], lines[3]]) + "\n")

    assert (first.repayments.count(), second.repayments.count()) == (2, 2)


def test_our_own_figures_come_back_unchanged():
    loan = factories.active()
    take(
        method="cash", amount=Decimal(20_000), reference="RB-1", value_date=ON,
        account=loan.number, by=factories.mutua(), on=ON,
    )  # fmt: skip
    second = loan.repayments.get(number=3)
    relief.waive(
        second, amount=Decimal(10), component="interest", reason="Flood", by=factories.kamau(),
        on=ON,
    )  # fmt: skip
    lines = [
        f"{loan.number},{row.number},{row.due_date},{row.amount_due},{row.principal},"
        f"{row.interest},{row.fees},{row.penalties},{row.amount_paid},{row.state(on=ON)}"
        for row in loan.repayments.all()
    ]

    job = checked(HEADER + "\n".join(lines) + "\n")

    assert wrong(job) == []
    assert counts(job) == {"unchanged": 12}


def test_a_fee_of_a_schedule_is_an_opening_balance():
    loan = running()

    imported(HEADER + f"{loan.number},1,2026-02-05,11100,10000,1000,100,,,\n")

    booked = books.balances()
    assert booked[chart.FEES_RECEIVABLE] == Decimal("100.00")
    assert booked[chart.FEE_INCOME] == ZERO
    books.prove()


def test_the_factory_disburses_on_the_day_the_tests_assume():
    assert running().disbursed_on == DISBURSED
