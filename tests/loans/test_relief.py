from datetime import date
from decimal import Decimal

import pytest

from lms import routing
from lms.errors import Refused
from lms.ledger import chart
from lms.ledger.models import Transfer
from lms.loans.models import Loan, Repayment, Waiver
from lms.loans.operations import instalments, relief
from tests import factories
from tests.books import balances, prove

D = Decimal
LATE = date(2026, 3, 1)


@pytest.fixture
def first(loan, kamau):
    """Instalment 1 of Wanjiku's loan (7,456 + 2,000), with a penalty of 200 since 1 March."""
    row = loan.repayments.get(number=1)
    instalments.charge_penalty(row, amount=D(200), rule="Late visit", by=kamau, on=LATE)
    return row


def pay(loan, amount):
    return routing.take(
        method="cash", amount=D(amount), reference=None, value_date=LATE, account=loan.number,
        by=factories.mutua(), on=LATE,
    )  # fmt: skip


def test_waiving_more_than_is_owed_is_refused_and_moves_nothing(first, kamau):
    before = Transfer.objects.count()

    with pytest.raises(Refused, match=r"Only KES 200\.00 of penalty is owed\."):
        relief.waive(
            first, amount=D("200.01"), component="penalties", reason="flood", by=kamau, on=LATE
        )

    first.refresh_from_db()
    assert first.penalties_waived == 0
    assert Transfer.objects.count() == before
    assert Waiver.objects.count() == 0


def test_a_waiver_falls_on_penalties_then_fees_then_interest_then_principal(first, kamau):
    made = first.waive_amount(amount=D(2300), reason="Flood in Kibera", waived_by=kamau, on=LATE)

    assert [(w.component, w.amount) for w in made] == [
        ("penalties", D("200.00")),
        ("interest", D("2000.00")),
        ("principal", D("100.00")),
    ]
    assert (first.status, first.outstanding) == ("pending", D("7356.00"))
    booked = balances()
    assert booked[chart.WAIVERS] == D("200.00")
    assert booked[chart.LOANS_WRITTEN_OFF] == D("100.00")
    assert booked[chart.INTEREST_INCOME] == 0
    assert first.history.first().history_user == kamau
    prove()


def test_waiving_all_that_is_left_settles_the_instalment_as_waived(first, kamau):
    relief.waive(first, amount=None, component=None, reason="Died", by=kamau, on=LATE)

    assert (first.status, first.outstanding, first.is_paid) == ("waived", D("0.00"), False)
    assert first.paid_on == LATE
    prove()


def test_charges_means_everything_but_principal(first, kamau):
    made = relief.waive(first, amount=None, component="charges", reason="x", by=kamau, on=LATE)

    assert {w.component for w in made} == {"penalties", "interest"}
    assert first.outstanding == D("7456.00")


def test_a_paid_instalment_answers_so(loan, first, kamau):
    pay(loan, "9656")
    first.refresh_from_db()
    assert first.is_paid

    for verb in (first.waive_amount, first.cancel):
        by = "waived_by" if verb == first.waive_amount else "cancelled_by"
        extra = {"amount": D(1)} if verb == first.waive_amount else {}
        with pytest.raises(Refused, match=r"^Repayment is already paid\.$"):
            verb(reason="x", **{by: kamau}, **extra)


@pytest.mark.parametrize("amount", [D(0), D(-1), D("0.001")])
def test_odd_amounts_are_refused(first, kamau, amount):
    with pytest.raises(Refused, match="more than KES 0"):
        first.waive_amount(amount=amount, reason="x", waived_by=kamau)


def test_a_reason_is_mandatory(first, kamau):
    with pytest.raises(Refused, match="Give a reason"):
        first.waive_amount(amount=D(1), reason="  ", waived_by=kamau)
    with pytest.raises(Refused, match="Give a reason"):
        first.cancel(reason="", cancelled_by=kamau)


def test_cancelling_drops_the_charges_and_moves_the_principal_to_the_last_instalment(
    loan, first, kamau
):
    last_before = loan.repayments.get(number=12).principal

    first.cancel(reason="Agreed with the customer", cancelled_by=kamau, on=LATE)

    assert (first.status, first.outstanding) == ("cancelled", D("0.00"))
    assert loan.repayments.get(number=12).principal == last_before + D("7456.00")
    assert loan.position.principal == D(100_000)
    assert balances()[chart.PENALTY_INCOME] == 0
    prove()


def test_the_principal_of_the_only_instalment_waits_unscheduled(db, kamau):
    loan = factories.active(D(10_000), terms={"number_of_repayments": 1})
    row = loan.repayments.get()

    row.cancel(reason="Wrong date", cancelled_by=kamau, on=LATE)

    loan.refresh_from_db()
    assert loan.status == Loan.Status.ACTIVE
    assert loan.position.unscheduled == D(10_000)
    instalments.add(
        loan,
        number=2,
        due_date=date(2026, 6, 1),
        principal=D(10_000),
        interest=D(300),
        fees=D(50),
        reason="New date",
        by=kamau,
        on=LATE,
    )
    loan.position.refresh_from_db()
    assert loan.position.unscheduled == 0
    assert loan.position.outstanding == D(10_350)
    prove()


def test_an_instalment_with_money_on_it_is_not_cancelled(loan, first, kamau):
    pay(loan, "100")

    with pytest.raises(Refused, match=r"KES 100\.00 was paid on it"):
        first.cancel(reason="x", cancelled_by=kamau, on=LATE)


def test_several_are_waived_together_or_not_at_all(loan, first, kamau):
    pay(loan, "9656")
    rows = list(loan.repayments.filter(number__in=[1, 2, 3]))

    with pytest.raises(Refused, match=r"instalment 1: Repayment is already paid\. Nothing"):
        relief.waive_many(rows, amount=None, component="interest", reason="x", by=kamau, on=LATE)
    assert Waiver.objects.count() == 0

    relief.waive_many(rows[1:], amount=None, component="interest", reason="x", by=kamau, on=LATE)
    assert Waiver.objects.count() == 2
    prove()


def test_several_are_cancelled_together_and_no_principal_is_lost(loan, kamau):
    rows = list(loan.repayments.filter(number__gte=11))

    relief.cancel_many(rows, reason="Shorter", by=kamau, on=LATE)

    standing = loan.repayments.exclude(status=Repayment.Status.CANCELLED)
    assert sum(row.principal for row in standing) == D(100_000)
    prove()


def test_waiving_the_last_debt_closes_the_loan(db, kamau):
    loan = factories.active(D(10_000), terms={"number_of_repayments": 1})
    pay(loan, "10000")
    row = loan.repayments.get()

    relief.waive(row, amount=D(200), component="principal", reason="Goodwill", by=kamau, on=LATE)

    loan.refresh_from_db()
    assert (row.status, loan.status) == ("completed", Loan.Status.CLOSED)
    prove()


def test_a_reversed_waiver_is_owed_again(loan, first, kamau):
    waived = first.waive_amount(amount=D(2300), reason="Flood", waived_by=kamau, on=LATE)

    relief.reverse_waiver(waived[1], reason="Wrong customer", by=kamau, on=LATE)

    first.refresh_from_db()
    assert (first.interest_waived, first.penalties_waived, first.outstanding) == (0, 200, 9_356)
    assert [w.component for w in Waiver.objects.standing().order_by("pk")] == [
        "penalties",
        "principal",
    ]
    assert balances()[chart.UNEARNED_INTEREST] == -D(13_470)
    prove()


def test_a_reversed_waiver_opens_a_closed_loan_again(loan, kamau):
    waived = [
        relief.waive(row, amount=None, component=None, reason="x", by=kamau, on=LATE)
        for row in loan.repayments.all()
    ]
    loan.refresh_from_db()
    assert loan.status == "closed"

    relief.reverse_waiver(waived[3][0], reason="Never agreed", by=kamau, on=LATE)

    loan.refresh_from_db()
    assert (loan.status, loan.closed_on, loan.position.outstanding) == ("active", None, 1_544)
    prove()


def test_a_waiver_is_reversed_once_with_a_reason_and_on_the_schedule(loan, first, kamau):
    (waiver,) = relief.waive(
        first, amount=D(10), component="interest", reason="x", by=kamau, on=LATE
    )
    before = Transfer.objects.count()

    with pytest.raises(Refused, match="Give a reason"):
        relief.reverse_waiver(waiver, reason=" ", by=kamau, on=LATE)
    with pytest.raises(Refused, match="not before that"):
        relief.reverse_waiver(waiver, reason="x", by=kamau, on=date(2026, 2, 28))
    Repayment.objects.filter(pk=first.pk).update(status="rescheduled")
    with pytest.raises(Refused, match="is rescheduled: nothing is owed on it again"):
        relief.reverse_waiver(waiver, reason="x", by=kamau, on=LATE)
    Repayment.objects.filter(pk=first.pk).update(status="pending")
    assert Transfer.objects.count() == before

    relief.reverse_waiver(waiver, reason="x", by=kamau, on=LATE)
    with pytest.raises(Refused, match=r"It was taken back on 1 Mar 2026 already\."):
        relief.reverse_waiver(waiver, reason="x", by=kamau, on=LATE)
