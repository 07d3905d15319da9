"""What threads may do to one another's payouts. The database commits for real here."""

from contextlib import suppress
from decimal import Decimal

import pytest

from lms import jobs
from lms.errors import Refused
from lms.mpesa import operations as mpesa
from lms.mpesa.models import B2cPayment, Callback
from lms.payments.models import Payout
from lms.payouts import operations as payouts
from lms.staff.models import Approval
from tests import books, factories
from tests.mpesa.conftest import AT
from tests.mpesa.test_races import together
from tests.payouts.conftest import DAY
from tests.payouts.test_sending import approved

pytestmark = pytest.mark.usefixtures("committed")


def trying(work):
    """Return `work` that keeps a refusal to itself."""

    def run(argument) -> None:
        with suppress(Refused):
            work(argument)

    return run


def test_two_people_at_once_pay_a_loan_out_once(safaricom):
    loan = approved()
    people = [factories.mutua(), factories.staff("wairimu", "Cashier")]

    together(trying(lambda person: payouts.send_loan(loan, by=person, on=DAY, at=AT)), *people)
    safaricom.deliver()

    assert [paid.times for paid in safaricom.simulator.paid.asked.values()] == [1]
    assert list(Payout.objects.values_list("status", flat=True)) == ["paid"]
    books.prove()


def test_many_workers_at_once_send_what_waits_once(safaricom, monkeypatch):
    with monkeypatch.context() as crash:
        crash.setattr(mpesa, "send", lambda part, at: None)
        for end in ("71", "72", "73"):
            payouts.send_loan(approved(end), by=factories.mutua(), on=DAY, at=AT)

    together(lambda _: mpesa.send_waiting(clock=lambda: AT), *range(5))
    safaricom.deliver()

    assert [paid.times for paid in safaricom.simulator.paid.asked.values()] == [1, 1, 1]
    assert set(Payout.objects.values_list("status", flat=True)) == {"paid"}
    books.prove()


def test_two_workers_at_a_batch_pay_every_loan_once(safaricom):
    loans = [approved(end, principal=20_000) for end in ("71", "72", "73", "74")]
    batch = payouts.prepare_batch(loans, note="Friday", by=factories.mutua(), on=DAY, at=AT)
    payouts.approve_batch(Approval.objects.get(), reason="", by=factories.kamau(), on=DAY)

    together(lambda _: jobs.see_to_payouts(), *range(3))
    safaricom.deliver()

    batch.refresh_from_db()
    assert batch.status == "done"
    assert [paid.times for paid in safaricom.simulator.paid.asked.values()] == [1] * 4
    assert set(Payout.objects.values_list("status", flat=True)) == {"paid"}
    books.prove()


def test_copies_of_results_and_of_failures_at_once_end_as_paid(safaricom):
    payouts.send_loan(approved("27"), by=factories.mutua(), on=DAY, at=AT)
    assert safaricom.simulator.wait_until_quiet()
    copies = [
        Callback.objects.create(kind=kind, body=body, received_at=AT)
        for kind, body in safaricom.door.kept * 3
    ]

    together(lambda callback: jobs.apply_callback(callback.pk), *copies)
    jobs.see_to_payouts()

    assert B2cPayment.objects.get().status == "paid"
    assert Payout.objects.latest("pk").status == "paid"
    assert Payout.objects.exclude(status="reversed").count() == 1
    assert safaricom.paid_once()
    books.prove()


def test_two_at_once_do_not_both_take_the_last_of_the_limit(safaricom, settings):
    settings.DARAJA_B2C_DAY = 150_000
    loans = [approved("71"), approved("72")]
    mutua = factories.mutua()

    together(trying(lambda loan: payouts.send_loan(loan, by=mutua, on=DAY, at=AT)), *loans)

    assert B2cPayment.objects.count() == 1
    assert sum(B2cPayment.objects.values_list("amount", flat=True)) == Decimal(100_000)


def test_two_who_decide_at_once_end_a_batch_once(safaricom):
    loan = approved()
    payouts.prepare_batch([loan], note="Friday", by=factories.mutua(), on=DAY, at=AT)
    approval, kamau = Approval.objects.get(), factories.kamau()
    verbs = [payouts.approve_batch, payouts.turn_batch_down]

    together(trying(lambda verb: verb(approval, reason="Now", by=kamau, on=DAY)), *verbs)
    jobs.see_to_payouts()
    safaricom.deliver()

    approval.refresh_from_db()
    paid = Payout.objects.filter(status="paid").count()
    assert paid == (approval.status == "approved")
    books.prove()
