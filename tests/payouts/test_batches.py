"""Loans paid out together: one person prepares, another agrees, each loan stands for itself."""

from decimal import Decimal

import pytest

from lms import jobs
from lms.errors import Refused
from lms.loans.models import Loan
from lms.loans.operations import lifecycle
from lms.mpesa import operations as mpesa
from lms.mpesa.models import B2cPayment
from lms.payments.models import Payout
from lms.payouts import operations as payouts
from lms.payouts.models import PayoutBatch
from lms.staff.models import Approval
from tests import books, factories
from tests.mpesa.conftest import AT
from tests.payouts.conftest import DAY
from tests.payouts.test_sending import approved

pytestmark = pytest.mark.django_db
D = Decimal


def prepared(*loans: Loan, **changes) -> Approval:
    batch = payouts.prepare_batch(
        loans, **{"note": "Friday", "by": factories.mutua(), "on": DAY, "at": AT, **changes}
    )
    return Approval.objects.get(subject=batch.number)


def agree(approval: Approval, **changes) -> PayoutBatch:
    return payouts.approve_batch(
        approval, **{"reason": "", "by": factories.kamau(), "on": DAY, **changes}
    )


def became(batch: PayoutBatch) -> list[tuple[str, str]]:
    items = batch.items.select_related("loan").order_by("pk")
    return [(item.status, item.loan.status) for item in items]


def test_nothing_is_paid_before_a_second_person_agrees_and_then_everybody_is_once(safaricom):
    loans = [approved(end, principal=20_000) for end in ("71", "72", "73")]

    approval = prepared(*loans)
    jobs.see_to_payouts()

    assert approval.summary == "PB000001: 3 loans, KES 60,000.00 by M-Pesa"
    assert approval.diff.count("KES 20,000.00") == 3
    assert B2cPayment.objects.count() == 0

    batch = agree(approval)
    jobs.see_to_payouts()
    jobs.see_to_payouts()
    safaricom.deliver()

    batch.refresh_from_db()
    assert batch.status == "done"
    assert became(batch) == [("paid_out", "active")] * 3
    assert set(Payout.objects.values_list("status", "paid_by__username")) == {("paid", "mutua")}
    assert len(safaricom.simulator.paid.asked) == 3
    assert safaricom.paid_once()
    books.prove()


def test_whoever_prepared_a_batch_does_not_agree_to_it(safaricom):
    approval = prepared(approved())

    with pytest.raises(Refused, match="somebody else must decide"):
        agree(approval, by=factories.mutua())

    assert PayoutBatch.objects.get().status == "submitted"


def test_whoever_approved_a_loan_does_not_prepare_its_payout(safaricom):
    with pytest.raises(Refused, match="You approved LN"):
        prepared(approved(), by=factories.kamau())


def test_a_loan_that_changed_since_is_left_out_and_stops_no_other(safaricom):
    first, second = approved("71"), approved("72")
    batch = agree(prepared(first, second))
    lifecycle.withdraw(first, reason="Changed the mind", by=factories.njeri(), on=DAY)

    jobs.see_to_payouts()
    safaricom.deliver()

    batch.refresh_from_db()
    assert batch.status == "done"
    assert became(batch) == [("refused", "withdrawn"), ("paid_out", "active")]
    assert "only an approved loan" in batch.items.first().refusal
    books.prove()


def test_one_that_safaricom_does_not_pay_is_approved_again_and_free_for_another_batch(safaricom):
    loan = approved("20")
    agree(prepared(loan))
    jobs.see_to_payouts()
    safaricom.deliver()
    loan.refresh_from_db()
    assert loan.status == "approved"

    again = prepared(loan)

    assert again.is_waiting
    books.prove()


def test_a_batch_that_is_rejected_or_called_back_frees_its_loans(safaricom):
    loan = approved()
    approval = prepared(loan)
    with pytest.raises(Refused, match="waits in another batch"):
        prepared(loan)
    payouts.turn_batch_down(approval, reason="Not today", by=factories.kamau(), on=DAY)

    second = prepared(loan)
    payouts.call_batch_back(second, reason="Wrong", by=factories.mutua(), on=DAY)

    prepared(loan)
    assert list(PayoutBatch.objects.order_by("pk").values_list("status", flat=True)) == [
        "rejected",
        "withdrawn",
        "submitted",
    ]
    jobs.see_to_payouts()
    assert B2cPayment.objects.count() == 0


def test_a_crash_in_the_middle_is_carried_on_without_paying_anybody_twice(safaricom, monkeypatch):
    loans = [approved(end, principal=20_000) for end in ("71", "72", "73")]
    batch = agree(prepared(*loans))
    real, sent = mpesa.send, []

    def dies_at_the_second(part, *, at):
        sent.append(part)
        if len(sent) == 2:
            raise KeyboardInterrupt
        return real(part, at=at)

    with monkeypatch.context() as crash:
        crash.setattr(mpesa, "send", dies_at_the_second)
        with pytest.raises(KeyboardInterrupt):
            jobs.see_to_payouts()
    assert became(batch) == [
        ("paid_out", "active"),
        ("paid_out", "active"),
        ("waiting", "approved"),
    ]

    jobs.see_to_payouts()
    safaricom.deliver()

    assert became(batch) == [("paid_out", "active")] * 3
    assert [paid.times for paid in safaricom.simulator.paid.asked.values()] == [1, 1, 1]
    assert set(Payout.objects.values_list("status", flat=True)) == {"paid"}
    books.prove()


@pytest.mark.parametrize(
    ("loans", "words"),
    [
        (list, "1 to 500 loans"),
        (lambda: [approved(principal=600_000)], r"can receive KES 500,000\.00 a day"),
        (lambda: [factories.active(on=DAY)], "is active"),
    ],
)
def test_a_batch_that_could_not_be_sent_is_refused(safaricom, loans, words):
    factories.vault(on=DAY)
    with pytest.raises(Refused, match=words):
        prepared(*loans())

    assert PayoutBatch.objects.count() == 0


def test_a_batch_above_the_limit_of_the_day_is_refused(safaricom, settings):
    settings.DARAJA_B2C_DAY = 150_000

    with pytest.raises(Refused, match=r"KES 200,000\.00 is more than the KES 150,000\.00 left"):
        prepared(approved("71"), approved("72"))
