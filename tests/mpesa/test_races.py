"""What threads may do to one another. The database commits for real here."""

import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from decimal import Decimal

import pytest
from django.db import IntegrityError, connection

from lms import routing
from lms.errors import Refused
from lms.ledger.models import JournalEntry
from lms.loans.operations import collection
from lms.mpesa import tokens
from lms.mpesa.models import (
    Callback,
    DarajaRequest,
    Inquiry,
    MpesaBalance,
    MpesaPayment,
    Reversal,
)
from lms.mpesa.operations import push, reversals
from lms.mpesa.simulator import bodies
from lms.mpesa.simulator.books import Taken
from lms.payments.models import Payment
from tests import factories
from tests.mpesa.conftest import AT, PHONE, book, c2b_body, pushed, received, stk_body

Status = MpesaPayment.Status
pytestmark = pytest.mark.usefixtures("committed")


def together(work, *arguments) -> None:
    """Run `work(argument)` for every argument at the same time and wait for all."""
    ready = threading.Barrier(len(arguments))

    def run(argument) -> None:
        ready.wait()
        try:
            work(argument)
        finally:
            connection.close()

    with ThreadPoolExecutor(len(arguments)) as pool:
        list(pool.map(run, arguments))


def status_body() -> bytes:
    """Return the result that tells of Wanjiku's KES 500."""
    taken = Taken("UKL7AB12CD", 500, "LN000123", PHONE, AT)
    values = bodies.status_values(taken, shortcode="174379", status="Completed")
    return json.dumps(bodies.result(("", "AG_1"), receipt=taken.receipt, values=values)).encode()


def ask(_=None) -> MpesaPayment:
    return push(
        phone=PHONE,
        amount=Decimal(500),
        account="LN000123",
        description="Loan",
        customer=None,
        by=None,
        at=AT,
    )


def test_copies_applied_at_once_make_one_payment():
    pushed()
    factories.branch()
    copies = [received("stk", stk_body()) for _ in range(6)]
    copies += [received("confirmation", c2b_body()) for _ in range(2)]

    together(book, *copies)

    assert Payment.objects.count() == 1
    statuses = sorted(Callback.objects.values_list("status", flat=True))
    assert statuses == ["applied"] + ["duplicate"] * 7


def test_two_people_at_once_send_one_prompt(daraja):
    answers = []

    def press(_) -> None:
        try:
            answers.append(ask().status)
        except Refused as refusal:
            answers.append(refusal.field)

    together(press, *range(4))

    assert sorted(answers) == ["phone", "phone", "phone", Status.SENT]
    assert len(daraja.books.prompts) == 1


def test_one_form_sent_by_four_clicks_is_one_request(daraja):
    made = []

    def press(_) -> None:
        made.append(
            push(
                phone=PHONE,
                amount=Decimal(500),
                account="LN000123",
                description="Loan",
                customer=None,
                by=None,
                at=AT,
                request_key="form-1",
            ).pk
        )

    together(press, *range(4))

    assert len(set(made)) == 1
    assert len(daraja.books.prompts) == 1


def test_eight_threads_fetch_one_token():
    made, taken = [], []

    def fetch() -> tuple[str, int]:
        time.sleep(0.2)
        made.append(f"t{len(made) + 1}")
        return made[-1], 3599

    together(
        lambda _: taken.append(tokens.shared(url="https://d", key="key", fetch=fetch)), *range(8)
    )

    assert (made, taken) == (["t1"], ["t1"] * 8)


def test_an_answer_that_comes_after_its_callback_does_not_undo_it(daraja, monkeypatch):
    """The callback is applied while the push still waits for Safaricom's answer."""
    answer = daraja.stk_push

    def call_back_first(body):
        given = answer(body)
        book(received("stk", stk_body(checkout_id=given["CheckoutRequestID"])))
        connection.close()
        return given

    monkeypatch.setattr(daraja, "stk_push", call_back_first)
    factories.branch()

    row = ask()

    assert row.status == Status.PAID
    assert row.response_code == "0"
    assert row.payment == Payment.objects.get()


def test_a_status_result_and_its_confirmations_at_once_make_one_payment():
    factories.branch()
    Inquiry.objects.create(
        kind="status", receipt="UKL7AB12CD", shortcode="174379", status="sent",
        asked_at=AT, conversation_id="AG_1",
    )  # fmt: skip
    copies = [received("status", status_body()) for _ in range(3)]
    copies += [received("confirmation", c2b_body()) for _ in range(3)]

    together(book, *copies)

    assert Payment.objects.count() == 1
    statuses = sorted(Callback.objects.values_list("status", flat=True))
    assert statuses == ["applied"] + ["duplicate"] * 5


def test_balances_that_come_twice_at_once_are_kept_once():
    for number in (1, 2):
        Inquiry.objects.create(
            kind="balance", shortcode="174379", status="sent", asked_at=AT,
            conversation_id=f"AG_{number}",
        )  # fmt: skip
    values = bodies.balance_values({"Utility Account": 7, "Working Account": 5}, AT)
    copies = [
        received("balance", json.dumps(bodies.result(("", f"AG_{n}"), values=values)).encode())
        for n in (1, 1, 2, 2)
    ]

    together(book_again, *copies)

    assert MpesaBalance.objects.count() == 4
    assert MpesaBalance.objects.latest_known().count() == 2


def book_again(callback: Callback) -> None:
    """Do as the queue does with a job that lost a race: run it once more."""
    try:
        book(callback)
    except IntegrityError:
        book(callback)


# --- Money that goes back ------------------------------------------------------------------------
def unallocated() -> Payment:
    return routing.take(
        method="mpesa", amount=Decimal(700), reference="UKL7AB12CD", value_date=AT.date(),
        account="", by=None, branch=factories.branch(), on=AT.date(),
    )  # fmt: skip


@pytest.fixture
def initiator(settings):
    settings.DARAJA_INITIATOR = "testapi"
    settings.DARAJA_SECURITY_CREDENTIAL = "c" * 344


@pytest.mark.usefixtures("initiator")
def test_two_who_approve_at_once_send_one_reversal(daraja):
    payment = unallocated()
    approval = reversals.ask_reversal(payment, reason="Not ours", by=factories.mutua(), on=AT)
    people = [factories.kamau(), factories.staff("wairimu", "Accountant", branch=None)]
    told = []

    def approve(person) -> None:
        try:
            told.append(reversals.carry_out(approval, reason="", by=person, on=AT).status)
        except Refused as refusal:
            told.append(refusal.message)

    together(approve, *people)

    assert sorted(told) == ["This was approved already.", Reversal.Status.SENT]
    assert Reversal.objects.count() == 1
    assert DarajaRequest.objects.filter(kind="reversal").count() == 1


@pytest.mark.usefixtures("initiator")
def test_whoever_takes_a_reversal_up_at_once_one_request_leaves(daraja, monkeypatch):
    payment = unallocated()
    approval = reversals.ask_reversal(payment, reason="Not ours", by=factories.mutua(), on=AT)
    with monkeypatch.context() as dying:
        dying.setattr(reversals, "send", lambda row, at: row)
        row = reversals.carry_out(approval, reason="", by=factories.kamau(), on=AT)

    together(lambda _: reversals.send(row, at=AT), *range(4))

    row.refresh_from_db()
    assert row.status == Reversal.Status.SENT
    assert DarajaRequest.objects.filter(kind="reversal").count() == 1


@pytest.mark.usefixtures("initiator")
def test_money_is_placed_or_sent_back_but_never_both(daraja):
    payment = unallocated()
    loan = factories.active()
    approval = reversals.ask_reversal(payment, reason="Not ours", by=factories.mutua(), on=AT)
    kamau = factories.kamau()

    def decide(verb) -> None:
        with suppress(Refused):
            verb()

    together(
        decide,
        lambda: reversals.carry_out(approval, reason="", by=kamau, on=AT),
        lambda: collection.allocate(payment, loan, by=None, on=AT.date()),
    )

    payment.refresh_from_db()
    sent = DarajaRequest.objects.filter(kind="reversal").count()
    assert (payment.status, payment.is_going_back, sent) in (
        ("allocated", False, 0),
        ("unallocated", True, 1),
    )


@pytest.mark.usefixtures("initiator")
def test_copies_of_its_result_applied_at_once_undo_one_receipt(daraja):
    payment = unallocated()
    approval = reversals.ask_reversal(payment, reason="Not ours", by=factories.mutua(), on=AT)
    row = reversals.carry_out(approval, reason="", by=factories.kamau(), on=AT)
    ids = (row.originator_id, row.conversation_id)
    copies = [
        received("reversal", json.dumps(bodies.result(ids, code=code)).encode())
        for code in ("0", "0", "0", "17", "R000001")
    ]

    together(book, *copies)

    payment.refresh_from_db()
    row.refresh_from_db()
    assert (payment.status, row.status) == ("reversed", Reversal.Status.DONE)
    assert JournalEntry.objects.exclude(reverses=None).count() == 1
