"""A customer's account over all their loans, worked out by hand."""

from datetime import date
from decimal import Decimal

from lms.ledger import chart
from lms.loans.operations import collection, relief, writing_off
from lms.payments.models import Payment
from lms.payments.operations import receive, refund_credit
from lms.reports.customers import Moved, column_of, customer_statement, standing, transfers_of
from lms.reports.spans import Scope
from tests import factories
from tests.reports.reading import line, texts

DAY = factories.DAY
YEAR = (date(2026, 1, 1), date(2026, 12, 31))


def statement(customer, first=YEAR[0], last=YEAR[1], scope=None):
    scope = scope or Scope()
    return customer_statement(customer=customer, first=first, last=last, scope=scope)


def pay(loan, amount: int, on: date, reference: str) -> Payment:
    payment = receive(
        method="mpesa",
        amount=Decimal(amount),
        reference=reference,
        value_date=on,
        account=loan.number,
        branch=loan.branch,
        customer=loan.customer,
        by=factories.mutua(),
        on=on,
    )
    collection.allocate(payment, loan, by=factories.mutua(), on=on)
    payment.refresh_from_db()
    return payment


def owed(customer) -> Decimal:
    """What the rows of loans and payments say the customer owes, less what is held."""
    loans = customer.loans.filter(position__isnull=False)
    held = Payment.objects.filter(customer=customer).standing()
    return sum((loan.position.outstanding for loan in loans), Decimal(0)) - sum(
        (payment.credited + payment.unallocated for payment in held), Decimal(0)
    )


def test_events_of_all_loans_stand_in_their_columns(loan, kamau, mutua):
    second = factories.active(Decimal(50_000), on=date(2026, 2, 1))
    payment = pay(loan, 20_000, date(2026, 2, 10), "UKL7AB12CD")
    interest = {each.pk: sum(r.interest for r in each.repayments.all()) for each in (loan, second)}

    report = statement(loan.customer)

    rows = texts(report)
    assert [column.title for column in report.columns[4:]] == [
        "Disbursed", "Charged", "Paid", "Given up", "Paid back", "Balance",
    ]  # fmt: skip
    lent = f"{100_000 + interest[loan.pk]:,.2f}"
    both = f"{150_000 + sum(interest.values()):,.2f}"
    after = f"{130_000 + sum(interest.values()):,.2f}"
    assert rows[0] == ["Opening balance", "-"]
    assert [row[-1] for row in rows[1:4]] == [lent, both, after]
    assert rows[1][4] == "100,000.00"
    assert rows[3][3:] == [payment.number, "(20,000.00)", after]
    assert line(report, "Closing balance")[-1] == after
    assert owed(loan.customer) == report.rows[4].cells[-1].value


def test_credit_and_its_refund_stand_on_the_statement(loan, kamau):
    total = loan.position.outstanding
    pay(loan, int(total) + 700, date(2026, 2, 10), "UKL7AB12CE")
    customer = loan.customer
    before = texts(statement(customer))

    refund_credit(
        customer, amount=Decimal(500), method="cash", reference=None, by=kamau, on=date(2026, 3, 1)
    )

    assert ["of which credit", "(700.00)"] in before
    report = statement(customer)
    assert line(report, "Closing balance")[-2:] == ["500.00", "(200.00)"]
    assert owed(customer) == Decimal("-200.00")


def test_what_is_waived_is_given_up(loan, kamau):
    first = loan.repayments.order_by("number").first()
    relief.waive(first, amount=Decimal(100), component="interest", reason="flood", by=kamau, on=DAY)

    report = statement(loan.customer)

    assert line(report, "Closing balance")[3] == "(100.00)"
    assert owed(loan.customer) == report.rows[-3].cells[-1].value


def test_a_payment_taken_back_is_a_negative_payment(loan, kamau):
    payment = pay(loan, 20_000, date(2026, 2, 10), "UKL7AB12CF")
    collection.reverse_payment(payment, reason="bounced", by=kamau, on=date(2026, 2, 11))

    report = statement(loan.customer)

    assert line(report, "Closing balance")[2] == "-"
    assert [row.cells[6].value for row in report.rows[2:4]] == [
        Decimal(-20_000),
        Decimal(20_000),
    ]
    assert owed(loan.customer) == report.rows[4].cells[-1].value


def test_what_is_written_off_leaves_the_balance_and_a_recovery_pays_nothing_else(loan, kamau):
    writing_off.write_off(loan, reason="gone", by=kamau, on=date(2026, 2, 20))
    loan.refresh_from_db()
    pay(loan, 1_000, date(2026, 3, 5), "UKL7AB12CG")

    report = statement(loan.customer)

    assert line(report, "Closing balance")[-1] == "-"
    assert report.rows[-1].look == "total"  # nothing is left to say what it is made of


def test_the_opening_balance_is_what_stood_the_day_before(loan):
    pay(loan, 20_000, date(2026, 2, 10), "UKL7AB12CH")
    whole = texts(statement(loan.customer))

    later = texts(statement(loan.customer, first=date(2026, 2, 1)))

    assert later[0] == ["Opening balance", whole[1][-1]]
    assert later[1] == whole[2]


def test_the_parts_of_the_balance_are_what_is_owed_by_component(loan):
    loan.refresh_from_db()

    parts = standing(transfers_of(loan.customer, Scope()), YEAR[1])

    assert parts[chart.LOAN_PRINCIPAL] == loan.position.principal
    assert parts[chart.INTEREST_RECEIVABLE] == loan.position.interest


def test_another_branch_sees_nothing_of_the_customer(loan):
    far = Scope((factories.branch("KSM", "Kisumu").pk,), "Kisumu")

    assert texts(statement(loan.customer, scope=far)) == [
        ["Opening balance", "-"],
        ["Closing balance", "-", "-", "-", "-", "-", "-"],
    ]


def test_each_movement_has_one_column():
    cash, principal = chart.CASH, chart.LOAN_PRINCIPAL
    credit, waiting = chart.CUSTOMER_CREDIT, chart.UNALLOCATED

    def of(own, other, kind):
        return column_of(Moved(own, other, kind, Decimal(1)))

    assert of(principal, cash, "disbursement") == "Disbursed"
    assert of(principal, chart.FEE_INCOME, "disbursement") == "Charged"
    assert of(principal, chart.CAPITALISED_INTEREST, "restructure") == "Charged"
    assert of(chart.INTEREST_RECEIVABLE, chart.UNEARNED_INTEREST, "disbursement") == "Charged"
    assert of(chart.INTEREST_RECEIVABLE, chart.UNEARNED_INTEREST, "waiver_reversal") == "Given up"
    assert of(chart.PENALTIES_RECEIVABLE, chart.PENALTY_INCOME, "penalty_reversal") == "Charged"
    assert of(principal, chart.ALLOWANCE, "write_off") == "Given up"
    assert of(waiting, chart.RECOVERIES, "recovery") == "Given up"
    assert of(waiting, cash, "receipt_reversal") == "Paid"
    assert of(credit, chart.BANK, "refund") == "Paid back"
