"""Money leaves once for what it is for: sequences in which it nearly left twice, or was lost."""

import json
from contextlib import suppress
from datetime import timedelta
from decimal import Decimal

import pytest

from lms import inbox, jobs, routing
from lms.errors import Refused
from lms.ledger import chart
from lms.ledger.models import Transfer
from lms.loans.models import Loan
from lms.loans.operations import lifecycle
from lms.loans.operations.undoing import undo_disbursement
from lms.mpesa import operations as mpesa
from lms.mpesa.client import Daraja, Outcome, State
from lms.mpesa.models import B2cPayment, Callback
from lms.mpesa.simulator import bodies
from lms.payments import operations as payments
from lms.payments.models import Payout
from lms.payments.operations import undo_refund
from lms.payouts import operations as payouts
from lms.payouts.operations import coming_back
from lms.staff.models import Approval
from tests import books, factories
from tests.loans.test_settling import pay
from tests.mpesa.conftest import AT
from tests.mpesa.test_overtaking import right_after
from tests.payouts.conftest import DAY
from tests.payouts.test_sending import approved, send, send_credit, state, with_credit

pytestmark = pytest.mark.django_db
D = Decimal


def told(part: B2cPayment, *, code: str = "0", receipt: str = "", apply: bool = True) -> Callback:
    """Let Safaricom say what became of a payment."""
    part.refresh_from_db()
    values = [
        ("TransactionReceipt", receipt),
        ("TransactionAmount", int(part.amount)),
        ("ReceiverPartyPublicName", f"{part.phone} - WANJIKU MWANGI"),
        ("TransactionCompletedDateTime", "21.11.2026 10:31:00"),
    ]
    body = bodies.result(
        (part.originator_id, part.conversation_id or ""),
        code=code,
        description="As told.",
        receipt=receipt,
        values=values if code == "0" else None,
    )
    callback = Callback.objects.create(
        kind="b2c", body=json.dumps(body).encode(), received_at=AT, due_at=AT
    )
    if apply:
        inbox._try(callback.pk)
    callback.refresh_from_db()
    return callback


@pytest.fixture
def silent(safaricom, monkeypatch):
    """Safaricom takes every request and says nothing by itself; keeps what it was asked to pay."""
    paid = []

    def pay_customer(self, *, originator_id, phone, amount, result_url, timeout_url):
        paid.append((originator_id, phone, amount))
        return Outcome(State.ACCEPTED, "0", "", {"ConversationID": f"AG_{len(paid)}"})

    monkeypatch.setattr(Daraja, "pay_customer", pay_customer)
    safaricom.sent = paid
    return safaricom


def stuck_failed(monkeypatch, loan) -> Payout:
    payout = send(loan)
    with monkeypatch.context() as crash:
        crash.setattr(coming_back, "take_back_if_free", lambda payout, on: False)
        told(payout.parts.get(), code="17")
    payout.refresh_from_db()
    return payout


def test_what_arrived_late_is_not_sent_again_by_the_watchdog(silent, monkeypatch):
    loan = approved()
    payout = stuck_failed(monkeypatch, loan)
    first = payout.parts.get()
    with monkeypatch.context() as crash:  # dies between promise and sending
        crash.setattr(mpesa, "send", lambda part, at: None)
        payouts.send_rest(payout, by=factories.mutua(), on=DAY, at=AT)
    told(first, receipt="UKL7AB12CD")
    assert state(loan)[:2] == ("active", "paid")

    jobs.see_to_payouts()

    assert len(silent.sent) == 1


def test_money_that_left_twice_is_in_the_books_and_shown(silent, monkeypatch):
    loan = approved()
    payout = stuck_failed(monkeypatch, loan)
    first = payout.parts.get()
    payouts.send_rest(payout, by=factories.mutua(), on=DAY, at=AT)
    second = payout.parts.order_by("-pk").first()
    told(first, receipt="UKL7AB12CD")

    callback = told(second, receipt="UKL7AB12CE")

    second.refresh_from_db()
    assert (second.status, callback.status) == ("paid", "applied"), (callback.status, callback.note)
    assert books.balances()[chart.MPESA_UTILITY] == -D(200_000)


def test_a_loan_whose_money_lies_in_suspense_is_not_sent_again(silent):
    loan = approved(principal=400_000)
    payout = send(loan)
    one, two = payout.parts.order_by("pk")
    told(one, code="17")
    told(two, code="17")
    told(one, receipt="UKL7AB12CD")
    told(two, receipt="UKL7AB12CE")
    jobs.see_to_payouts()
    assert B2cPayment.objects.filter(is_adrift=True).count() in (0, 2)

    loan = Loan.objects.get(pk=loan.pk)
    silent.later(days=1)
    with pytest.raises(Refused):  # all of it left yesterday
        payouts.send_loan(loan, by=factories.mutua(), on=DAY + timedelta(days=1), at=silent.now)


def test_a_loan_whose_money_lies_in_suspense_is_not_paid_out_in_cash_either(silent):
    loan = approved()
    payout = send(loan)
    told(payout.parts.get(), code="17")
    loan = Loan.objects.get(pk=loan.pk)
    assert loan.status == Loan.Status.APPROVED
    B2cPayment.objects.filter(payout=payout).update(is_adrift=True)

    with pytest.raises(Refused, match="lies in suspense"):
        payouts.disburse(
            loan, method=Payout.Method.CASH, reference=None, by=factories.mutua(), on=DAY
        )

    part = payout.parts.get()
    approval = payouts.ask_to_let_go(
        part, reason="She brought it back", by=factories.mutua(), on=DAY
    )
    with pytest.raises(Refused):
        payouts.let_go(approval, reason="", by=factories.mutua(), on=DAY)
    payouts.let_go(approval, reason="", by=factories.kamau(), on=DAY)
    part.refresh_from_db()
    assert not part.is_adrift
    assert part.history.first().history_change_reason == "Settled: She brought it back"
    with pytest.raises(Refused, match="not in suspense"):
        payouts.ask_to_let_go(part, reason="Again", by=factories.mutua(), on=DAY)
    payouts.disburse(loan, method=Payout.Method.CASH, reference=None, by=factories.mutua(), on=DAY)
    assert Loan.objects.get(pk=loan.pk).status == Loan.Status.ACTIVE


def test_credit_is_not_refunded_in_another_way_while_some_that_left_lies_in_suspense(silent):
    loan = with_credit("78")
    payout = send_credit(loan, 600)
    told(payout.parts.get(), code="17")
    rest = {"method": "bank", "by": factories.staff("otieno", "Accountant"), "on": DAY}
    payouts.refund_credit(loan.customer, amount=D(100), reference="SLIP1", **rest)
    told(payout.parts.get(), receipt="UKL7AB12CD")
    assert payout.parts.get().is_adrift

    with pytest.raises(Refused, match="lies in suspense"):
        payouts.refund_credit(loan.customer, amount=D(100), reference="SLIP2", **rest)

    assert not Payout.objects.filter(reference="SLIP2").exists()


def test_a_payment_named_while_its_result_is_read_keeps_that_in_line(silent, settings):
    settings.DARAJA_B2C_VERSION = "v1"  # whose name for it is Safaricom's alone
    part = send(approved()).parts.get()
    rows, name = B2cPayment.objects.filter(pk=part.pk), part.conversation_id
    rows.update(status="sending", conversation_id=None, response_code="")

    with right_after(
        '"mpesa_b2cpayment"."conversation_id" =',
        lambda: rows.update(status="sent", conversation_id=name),
    ):
        part.originator_id = "theirs"
        part.refresh_from_db = lambda: None
        part.conversation_id = name
        callback = told(part, receipt="UKL7AB12CD")

    assert callback.status == Callback.Status.RECEIVED
    jobs.apply_callback(callback.pk)
    assert B2cPayment.objects.get().status == "paid"


def test_a_batch_goes_to_the_phones_that_the_second_person_saw(silent):
    loan = approved()
    payouts.prepare_batch([loan], note="Friday", by=factories.mutua(), on=DAY, at=AT)
    approval = Approval.objects.get()
    assert "0712 345 678" in approval.diff
    payouts.approve_batch(approval, reason="", by=factories.kamau(), on=DAY)
    loan.customer.phone = "254799999999"
    loan.customer.save()

    jobs.see_to_payouts()

    assert [phone for _, phone, _ in silent.sent] in ([], ["254712345678"])


def test_the_one_who_approved_a_loan_does_not_send_the_rest_of_it_either(silent):
    loan = approved(principal=400_000)
    payout = send(loan)
    one, two = payout.parts.order_by("pk")
    told(one, receipt="UKL7AB12CD")
    told(two, code="1")
    loan.customer.phone = "254799999999"
    loan.customer.save()
    payout.refresh_from_db()
    assert payout.status == "partly"

    with pytest.raises(Refused):
        payouts.send_rest(payout, by=factories.kamau(), on=DAY, at=AT)


def test_a_second_sending_that_never_left_does_not_settle_the_fate_of_the_first(
    safaricom, settings
):
    loan = approved("30")
    payout = send(loan)
    part = payout.parts.get()
    safaricom.later(minutes=3)
    jobs.see_to_payouts()
    safaricom.deliver()
    part.refresh_from_db()
    assert (part.status, part.is_unknown_there) == ("unknown", True)

    settings.DARAJA_URL = "http://127.0.0.1:9"  # the line is down
    mpesa.send_same(part, by=factories.kamau(), at=safaricom.now)

    part.refresh_from_db()
    assert part.status == "unknown"


def test_a_late_success_of_credit_is_taken_up_in_the_books_of_its_branch(silent):
    loan = with_credit("78")
    payout = send_credit(loan, 600)
    part = payout.parts.get()
    told(part, code="17")
    # The credit of Nairobi is paid back by hand; then the customer has as much in Kisumu.
    factories.vault(on=DAY)
    payments.refund_credit(
        loan.customer, amount=D(600), method="bank", reference="SLIP1",
        by=factories.staff("otieno", "Accountant"), on=DAY,
    )  # fmt: skip
    told(part, receipt="UKL7AB12CD")
    part.refresh_from_db()
    assert part.is_adrift
    kisumu = factories.branch("KSM", "Kisumu")
    other = factories.active(
        on=DAY,
        customer=loan.customer,
    )
    Loan.objects.filter(pk=other.pk).update(branch=kisumu)
    other.refresh_from_db()
    pay(other, 114_070, on=DAY)

    jobs.see_to_payouts()

    part.refresh_from_db()
    by_branch = {}
    for t in Transfer.objects.all():
        for account, sign in ((t.debit_id, 1), (t.credit_id, -1)):
            if account == chart.SUSPENSE:
                by_branch[t.branch_id] = by_branch.get(t.branch_id, 0) + sign * t.amount
    assert part.is_adrift or not any(by_branch.values()), by_branch


def test_a_part_of_an_older_day_counts_against_the_limit_when_it_leaves(silent, settings):
    settings.DARAJA_B2C_DAY = 150_000
    loan = approved()
    with pytest.MonkeyPatch.context() as crash:
        crash.setattr(mpesa, "send", lambda part, at: None)
        send(loan)
    silent.later(hours=24)
    jobs.see_to_payouts()
    part = B2cPayment.objects.get()
    assert part.status == "unresolved"
    tomorrow = silent.now.date()
    other = approved("79")
    payouts.send_loan(other, by=factories.mutua(), on=tomorrow, at=silent.now)

    with pytest.raises(Refused):
        mpesa.send_same(part, by=factories.kamau(), at=silent.now)


def test_a_batch_waits_while_this_machine_cannot_send(silent, settings):
    loan = approved()
    payouts.prepare_batch([loan], note="Friday", by=factories.mutua(), on=DAY, at=AT)
    payouts.approve_batch(Approval.objects.get(), reason="", by=factories.kamau(), on=DAY)
    settings.DARAJA_INITIATOR = ""
    with suppress(Refused):
        jobs.see_to_payouts()
    settings.DARAJA_INITIATOR = "testapi"

    jobs.see_to_payouts()

    assert len(silent.sent) == 1


def test_a_receipt_that_is_in_the_books_for_other_money_is_not_believed(silent):
    routing.take(
        method="mpesa", amount=D(100_000), reference="UKL7AB12CD", value_date=DAY,
        account="nobody", by=factories.kamau(), on=DAY,
    )  # fmt: skip
    part = send(approved()).parts.get()

    callback = told(part, receipt="UKL7AB12CD")

    part.refresh_from_db()
    assert (callback.status, part.status) == ("review", "sent")


def test_a_receipt_that_paid_another_loan_by_hand_is_not_believed(silent):
    other = approved("79")
    lifecycle.disburse(other, method="mpesa", reference="UKL7AB12CD", by=factories.mutua(), on=DAY)
    part = send(approved()).parts.get()

    callback = told(part, receipt="UKL7AB12CD")

    part.refresh_from_db()
    assert (callback.status, part.status) == ("review", "sent")


def test_what_was_asked_of_one_sending_does_not_settle_the_next(silent):
    loan = approved()
    with pytest.MonkeyPatch.context() as crash:
        crash.setattr(mpesa, "send", lambda part, at: None)
        send(loan)
    silent.later(hours=2)
    jobs.see_to_payouts()
    part = B2cPayment.objects.get()
    assert (part.status, part.sent_at) == ("unresolved", None)
    approval = payouts.ask_to_settle(part, reason="It never left", by=factories.mutua(), on=DAY)
    mpesa.send_same(part, by=factories.staff("wairimu", "Cashier"), at=silent.now)
    for _ in range(10):
        silent.later(hours=4)
        jobs.see_to_payouts()
    part.refresh_from_db()
    assert (part.status, len(silent.sent)) == ("unresolved", 1)

    with pytest.raises(Refused):
        payouts.settle_by_hand(approval, reason="", by=factories.kamau(), on=DAY)


def test_the_time_of_a_sending_is_when_it_is_sent_not_when_the_batch_began(silent, monkeypatch):
    pay_customer = Daraja.pay_customer

    def slow(self, **answers):
        silent.later(minutes=3)
        return pay_customer(self, **answers)

    monkeypatch.setattr(Daraja, "pay_customer", slow)
    loans = [approved(end, principal=20_000) for end in ("71", "72", "73")]
    payouts.prepare_batch(loans, note="Friday", by=factories.mutua(), on=DAY, at=AT)
    payouts.approve_batch(Approval.objects.get(), reason="", by=factories.kamau(), on=DAY)

    payouts.pay_batches(on=DAY, clock=lambda: silent.now)

    sent = list(B2cPayment.objects.order_by("pk").values_list("sent_at", flat=True))
    assert len(set(sent)) == 3


def test_what_failed_is_taken_back_while_this_machine_cannot_send(silent, monkeypatch, settings):
    loan = approved()
    stuck_failed(monkeypatch, loan)
    with monkeypatch.context() as crash:
        crash.setattr(mpesa, "send", lambda part, at: None)
        send(approved("79"))
    settings.DARAJA_INITIATOR = ""

    with pytest.raises(Refused):
        jobs.see_to_payouts()

    assert state(loan)[0] == "approved"


def test_a_phone_in_its_local_spelling_is_the_phone(silent):
    part = send(approved()).parts.get()
    values = [
        ("TransactionReceipt", "UKL7AB12CD"),
        ("TransactionAmount", 100000),
        ("ReceiverPartyPublicName", "0712345678 - WANJIKU MWANGI"),
    ]
    body = bodies.result(
        (part.originator_id, part.conversation_id), receipt="UKL7AB12CD", values=values
    )
    callback = Callback.objects.create(kind="b2c", body=json.dumps(body).encode(), received_at=AT)

    jobs.apply_callback(callback.pk)

    part.refresh_from_db()
    assert part.status == "paid"


def test_a_second_payout_that_still_waits_is_not_sent_once_the_first_turns_out_paid(silent):
    loan = approved()
    first = send(loan).parts.get()
    told(first, code="17")
    assert state(loan)[0] == "approved"
    with pytest.MonkeyPatch.context() as crash:  # promised anew, not sent yet
        crash.setattr(mpesa, "send", lambda part, at: None)
        send(Loan.objects.get(pk=loan.pk))
    told(first, receipt="UKL7AB12CD")
    first.refresh_from_db()
    assert first.status == "paid"

    jobs.see_to_payouts()

    assert len(silent.sent) == 1


def test_the_one_who_took_the_money_does_not_send_the_rest_of_a_refund(silent, monkeypatch):
    loan = with_credit("78")
    takers = {
        payment.taken_by
        for payment in __import__(
            "lms.payments.models", fromlist=["Payment"]
        ).Payment.objects.with_credit()
    }
    payout = send_credit(loan, 600)
    with monkeypatch.context() as crash:
        crash.setattr(coming_back, "take_back_if_free", lambda payout, on: False)
        told(payout.parts.get(), code="1")
    payout.refresh_from_db()
    (taker,) = takers
    assert taker is not None

    with pytest.raises(Refused):
        payouts.send_rest(payout, by=taker, on=DAY, at=AT)


def test_what_arrived_by_m_pesa_is_not_taken_back_by_hand(silent):
    loan = approved()
    told(send(loan).parts.get(), receipt="UKL7AB12CD")
    loan.refresh_from_db()
    credited = with_credit("79")
    accountant = factories.staff("otieno", "Accountant")
    payout = send_credit(credited, 600)
    told(payout.parts.get(), receipt="UKL7AB12CE")

    with pytest.raises(Refused, match="cannot be called back"):
        undo_disbursement(loan, reason="Back", by=factories.kamau(), on=DAY)
    with pytest.raises(Refused, match="cannot be called back"):
        undo_refund(payout, reason="Back", by=accountant, on=DAY)

    books.prove()
