"""Emptying the inbox: many together do what each would do alone, and none is in another's way."""

import re
from datetime import date, datetime, timedelta
from decimal import Decimal

import pytest
import time_machine
from django.db import transaction

from lms import inbox, jobs, routing
from lms.dates import EAT
from lms.ledger.models import JournalEntry
from lms.loans.models import Allocation, Loan, Position, Repayment
from lms.loans.operations import writing_off
from lms.mpesa import operations as mpesa
from lms.mpesa.models import Callback, MpesaPayment
from lms.notifications.models import Message
from lms.payments.models import Payment
from tests import books, factories
from tests.mpesa.conftest import c2b_body, pushed, stk_body

pytestmark = pytest.mark.django_db
D = Decimal
NOW = datetime(2026, 5, 20, 10, 30, tzinfo=EAT)
STAMP = f"{NOW - timedelta(minutes=1):%Y%m%d%H%M%S}"


@pytest.fixture(autouse=True)
def _morning():
    with time_machine.travel(NOW, tick=False):
        yield


def store(kind: str, body: bytes) -> Callback:
    return Callback.objects.create(kind=kind, body=body, received_at=NOW)


def confirm(number: int, account: str, amount: str = "500.00", **changes) -> Callback:
    said = {
        "TransID": f"UEK{number:07d}", "BillRefNumber": account, "TransAmount": amount,
        "TransTime": STAMP,
    }  # fmt: skip
    return store("confirmation", c2b_body(**{**said, **changes}))


def result(number: int, checkout_id: str, **changes) -> Callback:
    said = {"receipt": f"UEK{number:07d}", "TransactionDate": int(STAMP)}
    return store("stk", stk_body(checkout_id=checkout_id, **{**said, **changes}))


def ask(number: int, account: str, **fields) -> MpesaPayment:
    phone = f"2547220{number:05d}"
    given = {"account": account, "checkout_request_id": f"ws_CO_{number}", "phone": phone}
    return pushed(**{**given, "requested_at": NOW - timedelta(minutes=2), **fields})


def person(number: int, **fields):
    return factories.customer("Otieno Ouma", f"2547110{number:05d}", **fields)


def lend(number: int, principal: int = 10_000, *, on: date = date(2026, 5, 1), **terms) -> Loan:
    product = factories.product(code=f"P{number}", **terms) if terms else factories.product()
    return factories.active(D(principal), customer=person(number), product=product, on=on)


def everything() -> None:
    """Store callbacks of every kind, to loans of every kind."""
    plain = lend(1)
    for number, amount in ((1, "500.00"), (2, "1200.50"), (3, "700")):
        confirm(number, plain.number.lower(), amount)
    late = lend(
        2, on=date(2026, 2, 1), penalty_base="instalment", penalty_value=D(1),
        penalty_frequency="daily",
    )  # fmt: skip
    confirm(10, late.number, "350.00")
    by_balance = lend(
        3, on=date(2026, 2, 1), penalty_base="outstanding_principal", penalty_value=D(1),
        penalty_frequency="daily",
    )  # fmt: skip
    confirm(11, by_balance.number, "650.00")
    confirm(12, lend(4, income_basis="accrual").number, "900.00")
    confirm(13, lend(5, surplus="shorten", on=date(2026, 4, 1)).number, "100.00")
    confirm(14, lend(6, surplus="credit", on=date(2026, 4, 1)).number, "4000.00")
    confirm(
        15,
        lend(7, recalculates=True, day_count="actual/365", on=date(2026, 2, 1)).number,
        "1000.00",
    )
    confirm(16, lend(8, posting_profile=factories.profile()).number, "1000.00")
    short = lend(9, 1_000, number_of_repayments=1, closing_tolerance=D(50))
    confirm(17, short.number, f"{short.position.outstanding - 20}")
    whole = lend(10, 1_000)
    confirm(18, whole.number, f"{whole.position.outstanding + D('33.50')}")
    confirm(19, whole.number, "10.00")
    daily = lend(11, 60_000, repay_unit="days", number_of_repayments=100, max_repayments=120)
    confirm(20, daily.number, "45000.00")
    confirm(
        21,
        lend(12, 60_000, repay_unit="days", number_of_repayments=62, max_repayments=120).number,
        "1.00",
    )
    before = factories.approved(
        D(10_000), customer=person(13), on=date(2026, 5, 1),
        product=factories.product(
            code="UPFRONT",
            fees=[{"name": "Appraisal", "kind": "percent", "value": D(2), "when": "paid_before"}],
        ),
    )  # fmt: skip
    confirm(22, before.number, "300.00")
    confirm(23, factories.draft(D(5_000), customer=person(14)).number, "300.00")
    lost = lend(15, on=date(2026, 2, 1))
    writing_off.write_off(lost, reason="gone", by=factories.kamau(), on=date(2026, 5, 2))
    confirm(24, lost.number, "800.00")
    earlier = lend(16)
    routing.take(
        account=earlier.number, method="bank", amount=D(900), reference="SLIP-1",
        value_date=date(2026, 5, 20), by=factories.mutua(), on=date(2026, 5, 20),
    )  # fmt: skip
    confirm(25, earlier.number, "333.00", TransTime="20260518090000")
    confirm(26, "school fees")
    confirm(27, "")
    confirm(28, lend(17).number, BusinessShortCode="600000")
    confirm(29, lend(18).number, TransAmount="-1")
    store("confirmation", b"garbage")
    known = lend(19)
    routing.take(
        account=known.number, method="mpesa", amount=D(500), reference="UEK0000030",
        value_date=date(2026, 5, 20), by=factories.mutua(), on=date(2026, 5, 20),
    )  # fmt: skip
    confirm(30, known.number)
    confirm(31, lend(20).number, "500.00", TransTime="20110101000000")  # before the books begin

    by_stk = lend(21)
    ask(40, by_stk.number, customer=by_stk.customer)
    result(40, "ws_CO_40")
    confirm(40, by_stk.number)
    confirm(41, lend(22).number)
    ask(41, Loan.objects.latest("pk").number)
    result(41, "ws_CO_41")
    ask(42, by_stk.number)
    result(42, "ws_CO_42", code=1032)
    ask(43, by_stk.number)
    result(43, "ws_CO_43", amount=499)
    ask(44, by_stk.number)
    result(44, "ws_CO_44")
    result(44, "ws_CO_44")
    result(45, "ws_CO_of_nobody")
    ask(46, "somewhere", customer=by_stk.customer)
    result(46, "ws_CO_46")
    awaited = lend(23)
    ask(47, awaited.number, status=MpesaPayment.Status.CONFIRMED, phone="254712345678")
    confirm(47, awaited.number)
    ask(48, by_stk.number, status=MpesaPayment.Status.TIMED_OUT)
    result(48, "ws_CO_48")
    store("validation", c2b_body())
    store("balance", b"{}")


def together() -> None:
    assert inbox.drain() > 0


def one_by_one() -> None:
    for key in Callback.objects.order_by("pk").values_list("pk", flat=True):
        inbox.apply(key)


def what_is_there() -> dict[str, list]:
    """All that callbacks wrote, without the keys and instants of its rows."""
    names = {payment.number: payment.reference for payment in Payment.objects.all()}
    keys = {str(payment.pk): payment.reference for payment in Payment.objects.all()}

    def named(text: str) -> str:
        text = re.sub(r"RC\d+", lambda found: names.get(found[0], found[0]), text or "")
        text = re.sub(r"\b(penalty|waive):\d+", r"\1", text)
        return re.sub(
            r"\b(receipt|allocate|recover|fees):(\d+)",
            lambda found: f"{found[1]}:{keys.get(found[2], found[2])}",
            text,
        )

    def rows(found) -> list:
        lines = (tuple(named(x) if isinstance(x, str) else x for x in row) for row in found)
        return sorted(lines, key=repr)

    def history(model, *fields) -> list:
        of = model.history.model.objects
        return rows(of.values_list("history_type", "history_change_reason", *fields))

    paid = [f"{name}{part}" for name in ("principal", "interest", "fees", "penalties")
            for part in ("", "_paid", "_waived")]  # fmt: skip
    payment = (
        "reference", "amount", "allocated", "credited", "status", "account", "customer", "branch",
        "received_in", "payer_name", "payer_phone", "value_date", "waits_for_staff", "method",
    )  # fmt: skip
    instalment = ("loan", "number", *paid, "status", "paid_on", "penalties_since")
    push = ("checkout_request_id", "status", "receipt", "result_code", "next_query_at", "paid_at",
            "merchant_request_id", "payment__reference")  # fmt: skip
    return {
        "payments": rows(Payment.objects.values_list(*payment, "entry__reference")),
        "payments before": history(Payment, *payment),
        "allocations": rows(
            Allocation.objects.values_list(
                "payment__reference",
                "repayment__loan",
                "repayment__number",
                "component",
                "amount",
                "counts_on",
                "from_credit",
                "entry__reference",
                "reverses__amount",
            )
        ),
        "books": rows(
            JournalEntry.objects.values_list(
                "date",
                "kind",
                "reference",
                "narration",
                "transfers__debit",
                "transfers__credit",
                "transfers__amount",
                "transfers__branch",
                "transfers__subject",
                "transfers__date",
            )
        ),
        "positions": rows(Position.objects.values_list()),
        "instalments": rows(Repayment.objects.values_list(*instalment)),
        "instalments before": history(Repayment, *instalment),
        "loans": rows(Loan.objects.values_list("pk", "status", "closed_on")),
        "loans before": history(Loan, "id", "status", "closed_on"),
        "pushes": rows(MpesaPayment.objects.values_list(*push)),
        "pushes before": history(MpesaPayment, "checkout_request_id", "status", "receipt"),
        "messages": rows(
            Message.objects.values_list("key", "body", "recipient", "about", "status", "customer")
        ),
        "messages before": history(Message, "key", "status"),
        "callbacks": rows(
            Callback.objects.values_list(
                "kind",
                "status",
                "note",
                "checkout_id",
                "receipt",
                "amount",
                "account",
                "phone",
                "payer_name",
                "paid_at",
                "push__checkout_request_id",
                "payment__reference",
            )
        ),
    }


def test_many_together_write_what_each_writes_alone(caplog):
    everything()
    found = []
    for way in (one_by_one, together):
        spot = transaction.savepoint()
        way()
        books.prove()
        found.append(what_is_there())
        transaction.savepoint_rollback(spot)

    alone, all_at_once = found
    for name, rows in alone.items():
        assert all_at_once[name] == rows, name
    statuses = [row[1] for row in alone["callbacks"]]
    assert (len(statuses), statuses.count("applied"), statuses.count("received")) == (40, 28, 0)
    assert "one by one" not in caplog.text


def test_a_batch_costs_few_statements_more_than_one(django_assert_max_num_queries):
    for number in range(1, 21):
        confirm(number, lend(number).number)

    with django_assert_max_num_queries(60):
        inbox.drain()

    assert Payment.objects.filter(status=Payment.Status.ALLOCATED).count() == 20


def test_one_that_breaks_the_batch_is_in_nobodys_way(monkeypatch):
    loans = [lend(number) for number in (1, 2, 3)]
    keys = [confirm(number, loan.number).pk for number, loan in enumerate(loans, start=1)]
    take = routing.take

    def broken(**money):
        if money["account"] == loans[1].number:
            raise KeyError("what nobody thought of")
        return take(**money)

    def broken_together(arrived, **answers):
        raise KeyError("what nobody thought of")

    monkeypatch.setattr(routing, "take_many", broken_together)
    monkeypatch.setattr(routing, "take", broken)

    inbox.drain()

    good, bad, last = (Callback.objects.get(pk=key) for key in keys)
    assert (good.status, bad.status, last.status) == ("applied", "received", "applied")
    assert (bad.attempts, bad.note) == (1, "KeyError: 'what nobody thought of'")
    assert bad.due_at == NOW + timedelta(seconds=10)
    for _ in range(10):
        with time_machine.travel(Callback.objects.get(pk=keys[1]).due_at, tick=False):
            inbox.drain()
    bad.refresh_from_db()
    assert (bad.status, bad.attempts) == ("failed", 9)
    assert (
        bad.note == "Applying it failed 8 times. The last time: KeyError: 'what nobody thought of'"
    )
    assert inbox.drain() == 0


def test_what_another_process_holds_is_left_to_it():
    loan = lend(1)
    first, second = confirm(1, loan.number), confirm(2, loan.number)

    assert mpesa.claim(limit=1, at=NOW) == [first.pk]
    assert mpesa.claim(limit=9, at=NOW) == [second.pk]
    assert inbox.drain() == 0
    with time_machine.travel(NOW + timedelta(seconds=10), tick=False):
        assert inbox.drain() == 2  # a process died over them: each by itself
    assert Payment.objects.count() == 2


def test_the_worker_takes_only_what_is_long_due():
    confirm(1, lend(1).number)

    with time_machine.travel(NOW + timedelta(seconds=19), tick=False):
        assert jobs.apply_waiting_callbacks() == 0
    with time_machine.travel(NOW + timedelta(seconds=20), tick=False):
        assert jobs.apply_waiting_callbacks() == 1
