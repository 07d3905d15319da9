"""The whole way on one machine: push, prompt, callback over HTTP, payment, loan."""

from datetime import timedelta
from decimal import Decimal

import pytest

from lms import dates, inbox, jobs
from lms.mpesa.models import Callback, MpesaPayment
from lms.mpesa.operations import push
from lms.mpesa.simulator import Simulator
from lms.payments.models import Payment
from tests import books, factories

pytestmark = pytest.mark.usefixtures("committed")
Status = MpesaPayment.Status


@pytest.fixture
def safaricom(live_server, settings):
    """A loopback Daraja that posts to this office over HTTP."""
    settings.DARAJA_CALLBACK_BASE = live_server.url
    door = f"{live_server.url}/daraja/{settings.DARAJA_CALLBACK_SECRET}"
    with Simulator(
        shortcode=settings.DARAJA_SHORTCODE,
        confirmation_url=f"{door}/confirmation/",
        validation_url=f"{door}/validation/",
    ) as simulator:
        settings.DARAJA_URL = simulator.url
        yield simulator


@pytest.fixture
def loan():
    return factories.active()


def ask(phone: str, account: str, amount: int) -> MpesaPayment:
    return push(
        phone=phone,
        amount=Decimal(amount),
        account=account,
        description="Loan",
        customer=None,
        by=None,
        at=dates.now(),
    )


def test_every_customer_is_credited_exactly_what_safaricom_took(safaricom, loan):
    pushes = {
        end: ask(f"2547123456{end}", loan.number, 1000 + int(end))
        for end in ("00", "01", "02", "03", "04", "06", "07", "08", "10", "11")
    }
    safaricom.pay(account=loan.number.lower(), amount=700, phone="254722000111")
    assert safaricom.wait_until_quiet()

    inbox.drain()

    credited = {
        payment.reference: payment.amount
        for payment in Payment.objects.filter(method=Payment.Method.MPESA)
    }
    silent = [taken for taken in safaricom.took if taken.phone.endswith("08")]
    assert len(silent) == 1
    assert credited == {
        taken.receipt: Decimal(taken.amount) for taken in safaricom.took if taken not in silent
    }
    statuses = {end: MpesaPayment.objects.get(pk=row.pk).status for end, row in pushes.items()}
    assert statuses == {
        "00": Status.FAILED,
        "01": Status.CANCELLED,
        "02": Status.TIMED_OUT,
        "03": Status.SENT,  # the callback was lost; its confirmation is booked
        "04": Status.PAID,
        "06": Status.PAID,
        "07": Status.PAID,
        "08": Status.SENT,
        "10": Status.PAID,
        "11": Status.PAID,
    }
    assert not Callback.objects.needing_review().exists()
    assert not Callback.objects.filter(status=Callback.Status.RECEIVED).exists()
    books.prove()


def test_the_watchdog_finds_what_never_called_back(safaricom, loan):
    lost = ask("254712345603", loan.number, 500)
    silent = ask("254712345608", loan.number, 600)
    assert safaricom.wait_until_quiet()
    inbox.drain()
    MpesaPayment.objects.update(next_query_at=dates.now() - timedelta(seconds=1))

    assert jobs.query_pushes() == 2

    lost.refresh_from_db()
    silent.refresh_from_db()
    assert (lost.status, lost.payment.amount) == (Status.PAID, Decimal(500))
    assert (silent.status, silent.payment) == (Status.CONFIRMED, None)


def test_an_unknown_account_is_turned_away_before_it_pays(safaricom):
    factories.branch()

    answer = safaricom.pay(account="LN999999", amount=700, phone="254722000111")

    assert answer["answer"] == {"ResultCode": "C2B00012", "ResultDesc": "Rejected"}
    assert safaricom.took == []
