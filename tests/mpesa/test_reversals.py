"""Sending a customer's payment back: two people, one request, and what the books make of it."""

import json
from datetime import timedelta
from decimal import Decimal

import pytest
import requests
import responses
from django.db import IntegrityError, transaction

from lms import dates, jobs, routing
from lms.errors import Refused
from lms.ledger import chart
from lms.ledger.balances import balances
from lms.loans.operations import collection
from lms.mpesa import operations as mpesa
from lms.mpesa.models import Callback, DarajaRequest, Inquiry, Reversal
from lms.mpesa.operations import reversals
from lms.payments.models import Payment
from lms.staff import operations as staff
from lms.staff.models import Approval
from tests import books, factories
from tests.mpesa.conftest import AT, PHONE, TODAY

pytestmark = pytest.mark.django_db
Status = Reversal.Status
PATH = "/mpesa/reversal/v1/request"


@pytest.fixture(autouse=True)
def _office(settings, monkeypatch):
    settings.DARAJA_INITIATOR = "testapi"
    settings.DARAJA_SECURITY_CREDENTIAL = "c" * 344
    clock(monkeypatch, AT)
    factories.branch()


def clock(monkeypatch, at) -> None:
    monkeypatch.setattr(dates, "now", lambda: at)


def deliver(daraja, door) -> list[Callback]:
    """Do what the view and the worker do with all that Safaricom posted."""
    assert daraja.wait_until_quiet()
    found = []
    while door.posted:
        posted, body = door.posted.pop(0)
        kind = posted.strip("/").split("/")[-1]
        if kind == "validation":
            continue
        callback = Callback.objects.create(
            kind=kind, body=json.dumps(body).encode(), received_at=dates.now()
        )
        jobs.apply_callback(callback.pk)
        callback.refresh_from_db()
        found.append(callback)
    return found


def paid(daraja, door, *, account: str = "FEES", amount: int = 700) -> Payment:
    """Return what a customer paid to an account that nobody has."""
    receipt = daraja.pay(account=account, amount=amount, phone=PHONE)["receipt"]
    deliver(daraja, door)
    return Payment.objects.get(reference=receipt)


def ask(payment: Payment, by=None) -> Approval:
    return mpesa.ask_reversal(
        payment, reason="Paid to us by mistake", by=by or factories.mutua(), on=TODAY
    )


def approve(approval: Approval, by=None) -> Reversal:
    return reversals.carry_out(approval, reason="", by=by or factories.kamau(), on=TODAY)


def next_answer(daraja, answer: str) -> None:
    daraja.next_answers.append(answer)


# --- The whole way -------------------------------------------------------------------------------
def test_money_goes_back_once_two_people_want_it_and_the_books_say_so(daraja, door):
    payment = paid(daraja, door)
    before = balances(TODAY)[chart.MPESA_PAYBILL].net

    row = approve(ask(payment))
    payment.refresh_from_db()
    assert (row.status, payment.status) == (Status.SENT, Payment.Status.UNALLOCATED)
    assert payment.is_going_back
    (callback,) = deliver(daraja, door)

    row.refresh_from_db()
    payment.refresh_from_db()
    assert (row.status, row.result_code) == (Status.DONE, "0")
    assert (payment.status, payment.is_going_back) == (Payment.Status.REVERSED, False)
    assert payment.entry.reversed_by.posted_by == factories.kamau()
    assert row.transaction_id in payment.entry.reversed_by.narration
    assert (callback.status, callback.reversal) == (Callback.Status.APPLIED, row)
    assert balances(TODAY)[chart.MPESA_PAYBILL].net == before - 700
    assert daraja.books.kept() == []
    books.prove()


def test_the_request_is_spelt_as_safaricom_documents_it(daraja, door, settings):
    payment = paid(daraja, door)

    row = approve(ask(payment))

    sent = json.loads(DarajaRequest.objects.get(kind="reversal", about=row.number).request)
    assert sent == {
        "Initiator": "testapi",
        "SecurityCredential": "(hidden)",
        "CommandID": "TransactionReversal",
        "TransactionID": payment.reference,
        "Amount": 700,
        "ReceiverParty": "174379",
        "RecieverIdentifierType": "11",
        "ResultURL": f"{door.url}/daraja/(hidden)/reversal/",
        "QueueTimeOutURL": f"{door.url}/daraja/(hidden)/reversal-timeout/",
        "Remarks": "Reversal",
        "Occasion": "Reversal",
    }


@pytest.mark.parametrize("script", ["twice", "odd", "late"])
def test_however_the_result_is_told_the_money_goes_back_once(daraja, door, script):
    payment = paid(daraja, door)
    next_answer(daraja, script)

    row = approve(ask(payment))
    told = deliver(daraja, door)

    row.refresh_from_db()
    assert row.status == Status.DONE
    assert {
        "twice": ["applied", "duplicate"], "odd": ["applied"], "late": ["ignored", "applied"]
    }[script] == [callback.status for callback in told]  # fmt: skip
    books.prove()


# --- Two people ----------------------------------------------------------------------------------
def test_nobody_approves_what_they_asked_for(daraja, door):
    payment = paid(daraja, door)
    approval = ask(payment, by=factories.kamau())

    with pytest.raises(Refused, match="You asked for this yourself"):
        approve(approval)

    payment.refresh_from_db()
    assert (payment.is_going_back, Reversal.objects.count()) == (False, 0)


def test_nobody_approves_what_they_typed_in_themselves(daraja, door):
    kamau = factories.kamau()
    payment = routing.take(
        method="mpesa", amount=Decimal(700), reference="UKL7AB12CD", value_date=TODAY,
        account="", by=kamau, on=TODAY,
    )  # fmt: skip

    with pytest.raises(Refused, match=r"You took RC\d+ yourself"):
        approve(ask(payment))

    assert Approval.objects.get().is_waiting


def test_a_second_decision_is_refused_and_sends_nothing(daraja, door):
    approval = ask(paid(daraja, door))
    approve(approval)

    with pytest.raises(Refused, match="approved already"):
        approve(approval, by=factories.staff("wairimu", "Accountant"))

    assert DarajaRequest.objects.filter(kind="reversal").count() == 1


def test_what_waits_for_a_decision_is_asked_once(daraja, door):
    payment = paid(daraja, door)
    ask(payment)

    with pytest.raises(Refused, match="This is asked already"):
        ask(payment, by=factories.njeri())


def test_money_that_was_placed_meanwhile_is_not_sent(daraja, door, loan):
    payment = paid(daraja, door)
    approval = ask(payment)
    routing.match(payment, loan, by=factories.mutua(), on=TODAY)

    with pytest.raises(Refused, match="is allocated"):
        approve(approval)

    assert approval.is_waiting
    assert not Reversal.objects.exists()


def test_what_cannot_be_sent_back_is_not_asked_for(daraja, door, loan, settings):
    cash = routing.take(
        method="bank", amount=Decimal(700), reference="SLIP1", value_date=TODAY,
        account="", by=None, on=TODAY,
    )  # fmt: skip
    cents = routing.take(
        method="mpesa", amount=Decimal("700.50"), reference="UKL7AB12CE", value_date=TODAY,
        account="", by=None, on=TODAY,
    )  # fmt: skip
    placed = paid(daraja, door)
    routing.match(placed, loan, by=factories.mutua(), on=TODAY)

    for payment, words in (
        (cash, "did not come by M-Pesa"),
        (cents, "whole shillings only"),
        (placed, "only money that waits unallocated"),
    ):
        with pytest.raises(Refused, match=words):
            ask(payment)
    settings.DARAJA_INITIATOR = ""
    with pytest.raises(Refused, match="DARAJA_INITIATOR is empty"):
        ask(paid(daraja, door))


def test_without_a_credential_nothing_is_decided(daraja, door, settings):
    approval = ask(paid(daraja, door))
    settings.DARAJA_SECURITY_CREDENTIAL = ""

    with pytest.raises(Refused, match="DARAJA_INITIATOR_PASSWORD is empty"):
        approve(approval)

    approval.refresh_from_db()
    assert approval.is_waiting


# --- While it is open ----------------------------------------------------------------------------
def test_money_on_its_way_back_is_nobodys(daraja, door, loan):
    payment = paid(daraja, door)
    payment.account = loan.number
    payment.save(update_fields=["account"])
    next_answer(daraja, "drop")
    row = approve(ask(payment))
    payment.refresh_from_db()
    payment.customer = loan.customer

    for verb in (
        lambda: routing.match(payment, loan, by=factories.mutua(), on=TODAY),
        lambda: collection.allocate(payment, loan, by=factories.mutua(), on=TODAY),
        lambda: collection.hold_as_credit(payment, by=factories.mutua(), on=TODAY),
        lambda: collection.reverse_payment(
            payment, reason="typed twice", by=factories.mutua(), on=TODAY
        ),
        lambda: ask(payment, by=factories.njeri()),
    ):
        with pytest.raises(Refused, match="is being sent back to its payer"):
            verb()
    assert routing.sweep(on=TODAY) == 0
    assert routing.settle(payment, by=None, on=TODAY).status == Payment.Status.UNALLOCATED
    row.refresh_from_db()
    assert row.status == Status.SENT
    books.prove()


def test_the_database_itself_holds_it(daraja, door):
    payment = paid(daraja, door)
    next_answer(daraja, "drop")
    approve(ask(payment))

    with pytest.raises(IntegrityError), transaction.atomic():
        Payment.objects.filter(pk=payment.pk).update(status="allocated")


# --- Failure -------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("code", "meaning"),
    [
        ("1", "holds too little"),
        ("11", "not active"),
        ("21", "may not reverse"),
        ("2001", "refused the API user"),
        ("R000002", "does not know the receipt"),
    ],
)
def test_a_failure_frees_the_payment_and_says_why(daraja, door, code, meaning, loan):
    payment = paid(daraja, door)
    next_answer(daraja, "timeout")
    row = approve(ask(payment))
    deliver(daraja, door)

    callback = told(row, code=code)

    row.refresh_from_db()
    payment.refresh_from_db()
    assert (row.status, payment.is_going_back) == (Status.FAILED, False)
    assert meaning in row.explanation.meaning
    assert meaning in callback.note
    assert routing.sweep(on=TODAY) == 0  # a person decides now
    routing.match(payment, loan, by=factories.mutua(), on=TODAY)
    books.prove()


def told(row: Reversal, *, code="0", description="As documented.", **values) -> Callback:
    """Apply a result of Safaricom to a reversal."""
    result = {
        "ResultType": 0,
        "ResultCode": code,
        "ResultDesc": description,
        "OriginatorConversationID": row.originator_id,
        "ConversationID": row.conversation_id,
        "TransactionID": "UKL0BACK00",
    }
    if values:
        result["ResultParameters"] = {
            "ResultParameter": [{"Key": key, "Value": value} for key, value in values.items()]
        }
    callback = Callback.objects.create(
        kind="reversal", body=json.dumps({"Result": result}).encode(), received_at=dates.now()
    )
    jobs.apply_callback(callback.pk)
    callback.refresh_from_db()
    return callback


def test_already_reversed_counts_as_done(daraja, door):
    payment = paid(daraja, door)
    daraja.books.send_back(payment.reference)

    row = approve(ask(payment))
    deliver(daraja, door)

    row.refresh_from_db()
    payment.refresh_from_db()
    assert (row.status, row.result_code) == (Status.DONE, "R000001")
    assert payment.status == Payment.Status.REVERSED
    books.prove()


def test_a_late_failure_never_undoes_what_is_done(daraja, door):
    payment = paid(daraja, door)
    row = approve(ask(payment))
    deliver(daraja, door)

    row.refresh_from_db()
    callback = told(row, code="1")

    row.refresh_from_db()
    payment.refresh_from_db()
    assert (row.status, callback.status) == (Status.DONE, Callback.Status.IGNORED)
    assert payment.status == Payment.Status.REVERSED


def test_a_late_success_after_the_money_was_placed_is_shown_to_a_person(daraja, door, loan):
    payment = paid(daraja, door)
    next_answer(daraja, "timeout")
    row = approve(ask(payment))
    told(row, code="17")
    payment.refresh_from_db()
    routing.match(payment, loan, by=factories.mutua(), on=TODAY)

    callback = told(row, OriginalTransactionID=payment.reference, Amount="700.00")

    row.refresh_from_db()
    payment.refresh_from_db()
    assert (row.status, callback.status) == (Status.UNRESOLVED, Callback.Status.REVIEW)
    assert "cannot be reversed" in row.review
    assert "Take it off its loan" in callback.note
    assert payment.status == Payment.Status.ALLOCATED
    told(row, code="17")
    row.refresh_from_db()
    assert row.status == Status.UNRESOLVED
    books.prove()

    collection.take_back(payment, reason="It went back", by=factories.kamau(), on=TODAY)
    mpesa.reopen(callback, by=factories.kamau(), at=AT)
    jobs.apply_callback(callback.pk)

    row.refresh_from_db()
    payment.refresh_from_db()
    assert (row.status, payment.status) == (Status.DONE, Payment.Status.REVERSED)
    books.prove()


def test_a_second_request_after_a_failure_is_no_second_reversal_in_the_books(daraja, door):
    payment = paid(daraja, door)
    next_answer(daraja, "timeout")
    first = approve(ask(payment))
    told(first, code="17")
    payment.refresh_from_db()
    next_answer(daraja, "timeout")
    second = approve(ask(payment))

    told(first)
    told(second, code="R000001")

    first.refresh_from_db()
    second.refresh_from_db()
    payment.refresh_from_db()
    assert (first.status, second.status) == (Status.DONE, Status.FAILED)
    assert payment.status == Payment.Status.REVERSED
    books.prove()


# --- Unknown -------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("answer", "status"),
    [
        ({"json": {"ResponseCode": "0", "ConversationID": ""}}, Status.UNKNOWN),
        ({"json": {"ResponseCode": "1", "ResponseDescription": "No"}}, Status.FAILED),
        ({"json": {"errorCode": "400.002.02"}, "status": 400}, Status.FAILED),
        ({"json": {"errorCode": "500.003.02"}, "status": 500}, Status.FAILED),
        ({"json": {"errorCode": "500.001.1001"}, "status": 500}, Status.UNKNOWN),
        ({"json": {"errorCode": "500.003.1001"}, "status": 500}, Status.UNKNOWN),
        ({"body": "<html>Bad Gateway</html>", "status": 502}, Status.UNKNOWN),
        ({"body": "<html>Forbidden</html>", "status": 403}, Status.FAILED),
        ({"body": ""}, Status.UNKNOWN),
        ({"body": requests.ReadTimeout("slow")}, Status.UNKNOWN),
        ({"body": requests.ConnectionError("reset")}, Status.UNKNOWN),
        ({"body": requests.ConnectTimeout("far")}, Status.FAILED),
    ],
)
def test_whatever_is_answered_it_is_sent_once_and_held_while_unknown(settings, answer, status):
    settings.DARAJA_URL = "https://daraja.test"
    payment = routing.take(
        method="mpesa", amount=Decimal(700), reference="UKL7AB12CD", value_date=TODAY,
        account="", by=None, on=TODAY,
    )  # fmt: skip
    with responses.RequestsMock() as wire:
        wire.get("https://daraja.test/oauth/v1/generate", json={"access_token": "token"})
        wire.post(f"https://daraja.test{PATH}", **answer)

        row = approve(ask(payment))
        row = reversals.send(row, at=AT)
        mpesa.follow_reversals(clock=lambda: AT + timedelta(minutes=1))

        assert len([c for c in wire.calls if c.request.method == "POST"]) == 1
    payment.refresh_from_db()
    assert row.status == status
    assert payment.is_going_back == (status == Status.UNKNOWN)


def test_without_a_token_nothing_was_sent_and_the_payment_is_free(settings):
    settings.DARAJA_URL = "https://daraja.test"
    payment = routing.take(
        method="mpesa", amount=Decimal(700), reference="UKL7AB12CD", value_date=TODAY,
        account="", by=None, on=TODAY,
    )  # fmt: skip
    with responses.RequestsMock() as wire:
        wire.get("https://daraja.test/oauth/v1/generate", status=503)

        row = approve(ask(payment))

    payment.refresh_from_db()
    assert (row.status, row.response_code) == (Status.FAILED, "not-sent")
    assert not payment.is_going_back


@pytest.mark.parametrize("script", ["drop", "timeout"])
def test_the_watchdog_asks_what_became_of_the_receipt(daraja, door, monkeypatch, script):
    payment = paid(daraja, door)
    next_answer(daraja, script)
    row = approve(ask(payment))
    deliver(daraja, door)

    clock(monkeypatch, AT + timedelta(minutes=3))
    assert jobs.follow_reversals() == 1
    (callback,) = deliver(daraja, door)

    row.refresh_from_db()
    payment.refresh_from_db()
    assert Inquiry.objects.get().payment == payment
    if script == "drop":  # it worked, and nobody told
        assert (row.status, payment.status) == (Status.DONE, Payment.Status.REVERSED)
        assert (callback.kind, callback.status) == ("status", Callback.Status.APPLIED)
    else:
        assert (row.status, payment.is_going_back) == (Status.UNKNOWN, True)
        assert callback.status == Callback.Status.DUPLICATE
    books.prove()


def test_after_a_day_of_asking_it_is_left_for_a_person(daraja, door, monkeypatch):
    payment = paid(daraja, door)
    next_answer(daraja, "timeout")
    row = approve(ask(payment))
    deliver(daraja, door)

    for hours in (0.1, 0.3, 1, 2.5, 7, 25, 26, 50):
        clock(monkeypatch, AT + timedelta(hours=hours))
        jobs.follow_reversals()
        deliver(daraja, door)

    row.refresh_from_db()
    payment.refresh_from_db()
    assert (row.status, payment.is_going_back) == (Status.UNRESOLVED, True)
    assert "settle this by hand" in row.review
    assert row.queries == Inquiry.objects.count() == 6
    assert DarajaRequest.objects.filter(kind="reversal").count() == 1
    assert list(Reversal.objects.needing_review()) == [row]


def test_a_late_result_still_counts_after_that(daraja, door, monkeypatch):
    payment = paid(daraja, door)
    next_answer(daraja, "timeout")
    row = approve(ask(payment))
    clock(monkeypatch, AT + timedelta(hours=25))
    jobs.follow_reversals()
    row.refresh_from_db()
    assert row.status == Status.UNRESOLVED

    told(row)

    row.refresh_from_db()
    payment.refresh_from_db()
    assert (row.status, row.review, payment.status) == (Status.DONE, "", "reversed")


def unresolved(daraja, door) -> Reversal:
    next_answer(daraja, "timeout")
    row = approve(ask(paid(daraja, door)))
    row.move_to(Status.UNRESOLVED, by=None, reason="No result within a day")
    return row


def by_hand(row, **answers) -> Reversal:
    return mpesa.settle_by_hand(
        row, **{"reason": "Seen in the portal", "by": factories.kamau(), "on": TODAY, **answers}
    )


def test_a_person_who_looked_settles_it(daraja, door):
    gone, here = unresolved(daraja, door), unresolved(daraja, door)

    assert by_hand(gone, went_back=True).status == Status.DONE
    assert by_hand(here, went_back=False).status == Status.FAILED

    gone.payment.refresh_from_db()
    here.payment.refresh_from_db()
    assert (gone.payment.status, here.payment.status) == ("reversed", "unallocated")
    assert not here.payment.is_going_back
    books.prove()


def test_nobody_settles_by_hand_what_they_asked_for_nor_what_safaricom_still_works_on(daraja, door):
    row = unresolved(daraja, door)
    with pytest.raises(Refused, match="You asked for this yourself"):
        by_hand(row, went_back=False, by=factories.mutua())
    with pytest.raises(Refused, match="Say what you saw"):
        by_hand(row, went_back=False, reason=" ")

    by_hand(row, went_back=False)

    with pytest.raises(Refused, match="needs no person's word"):
        by_hand(row, went_back=True)


# --- Crashes -------------------------------------------------------------------------------------
def crash(*args, **kwargs):
    raise KeyboardInterrupt


def test_a_crash_before_it_is_taken_up_is_continued(daraja, door, monkeypatch):
    payment = paid(daraja, door)
    with monkeypatch.context() as dying:
        dying.setattr(reversals, "send", crash)
        with pytest.raises(KeyboardInterrupt):
            approve(ask(payment))
    row = Reversal.objects.get()
    payment.refresh_from_db()
    assert (row.status, payment.is_going_back) == (Status.REQUESTED, True)

    assert jobs.follow_reversals() == 0  # whoever approved it may be at it
    clock(monkeypatch, AT + timedelta(minutes=2))
    assert jobs.follow_reversals() == 1
    assert jobs.follow_reversals() == 0
    deliver(daraja, door)

    row.refresh_from_db()
    assert row.status == Status.DONE
    assert DarajaRequest.objects.filter(kind="reversal").count() == 1
    books.prove()


def test_a_crash_after_it_is_taken_up_is_unknown_and_never_sent_again(daraja, door, monkeypatch):
    payment = paid(daraja, door)
    with monkeypatch.context() as dying:
        dying.setattr(reversals.Daraja, "reversal", crash)
        with pytest.raises(KeyboardInterrupt):
            approve(ask(payment))
    row = Reversal.objects.get()
    assert row.status == Status.SENDING

    clock(monkeypatch, AT + timedelta(minutes=3))
    jobs.follow_reversals()
    deliver(daraja, door)

    row.refresh_from_db()
    payment.refresh_from_db()
    assert (row.status, payment.is_going_back) == (Status.UNKNOWN, True)
    assert row.queries == 1
    assert not DarajaRequest.objects.filter(kind="reversal").exists()


def test_a_result_whose_id_nobody_learnt_is_known_by_receipt_and_amount(daraja, door, monkeypatch):
    payment = paid(daraja, door)
    with monkeypatch.context() as dying:
        dying.setattr(reversals, "_record_outcome", crash)
        with pytest.raises(KeyboardInterrupt):
            approve(ask(payment))

    clock(monkeypatch, AT + timedelta(minutes=3))
    deliver(daraja, door)

    row = Reversal.objects.get()
    assert row.status == Status.DONE
    assert row.conversation_id.startswith("AG_")


def test_a_failure_that_overtakes_the_answer_waits_for_it(daraja, door, monkeypatch):
    payment = paid(daraja, door, amount=900)
    Payment.objects.filter(pk=payment.pk).update(amount=800)  # not what Safaricom took
    kept = []
    original = reversals._record_outcome

    def later(sent, outcome):
        kept.extend(deliver(daraja, door))
        return original(sent, outcome)

    monkeypatch.setattr(reversals, "_record_outcome", later)
    payment.refresh_from_db()
    row = approve(ask(payment))
    assert (row.status, kept[0].status) == (Status.SENT, Callback.Status.RECEIVED)

    jobs.apply_callback(kept[0].pk)

    row.refresh_from_db()
    assert (row.status, row.result_code) == (Status.FAILED, "R000002")


# --- Steps ---------------------------------------------------------------------------------------
@pytest.mark.parametrize("before", Status)
@pytest.mark.parametrize("after", Status)
def test_only_the_steps_of_the_map_are_taken(daraja, door, before, after):
    row = approve(ask(paid(daraja, door)))
    row.status = before

    if after in Reversal.NEXT.get(before, ()):
        row.move_to(after, by=None, reason="Step")
        assert row.status == after
    else:
        with pytest.raises(Refused, match=row.number):
            row.move_to(after, by=None, reason="Step")


def test_every_open_status_holds_its_payment_and_no_other_does():
    assert {*Reversal.OPEN} == {*Status} - {Status.DONE, Status.FAILED}


def test_its_history_says_who_and_why(daraja, door):
    row = approve(ask(paid(daraja, door)))
    deliver(daraja, door)

    reasons = row.history.order_by("history_id").values_list("history_change_reason", flat=True)
    assert list(reasons) == [
        "Approved: Paid to us by mistake",
        "Taken to be sent",
        "Request accepted",
        "Safaricom sent it back",
    ]


def test_a_rejected_request_sends_nothing(daraja, door):
    payment = paid(daraja, door)
    approval = ask(payment)

    staff.reject(approval, reason="It is ours", by=factories.kamau(), on=TODAY)

    payment.refresh_from_db()
    assert (payment.is_going_back, Reversal.objects.count()) == (False, 0)


@pytest.mark.parametrize("code", ["15", "4999", "777777"])
def test_a_code_that_proves_no_failure_frees_nothing_and_is_asked_about(daraja, door, code):
    payment = paid(daraja, door)
    next_answer(daraja, "timeout")
    row = approve(ask(payment))
    deliver(daraja, door)

    callback = told(row, code=code)

    row.refresh_from_db()
    payment.refresh_from_db()
    assert (row.status, payment.is_going_back) == (Status.UNKNOWN, True)
    assert row.next_query_at is not None
    assert "Whether it went back is asked." in callback.note
