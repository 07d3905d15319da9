"""Results of reversals, and what pulls tell: every body of the corpus, applied; its effect."""

import json
from contextlib import suppress
from datetime import timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lms import dates, jobs, routing
from lms.ledger.models import JournalEntry
from lms.mpesa.callbacks import MalformedCallback
from lms.mpesa.models import Callback, Reversal
from lms.mpesa.pulled import parse_notice, parse_pulled
from lms.mpesa.reversal_results import parse_reversal
from lms.payments.models import Payment
from lms.payments.operations import begin_going_back
from lms.staff import operations as staff
from lms.staff.models import Approval
from tests import books, factories
from tests.mpesa.conftest import AT, TODAY
from tests.mpesa.test_callbacks import CORPUS, body_of, json_values

pytestmark = pytest.mark.django_db
SECRET = "5ec2e7" * 6
RECEIPT = "UKL7AB12CD"
REVERSALS = sorted(CORPUS.glob("reversal_*.json"))
PULLS = sorted(CORPUS.glob("pull_*.json"))


@pytest.fixture(autouse=True)
def _now(monkeypatch):
    monkeypatch.setattr(dates, "now", lambda: AT + timedelta(minutes=5))
    factories.branch()


def on_its_way() -> Reversal:
    """Return a reversal of KES 500 that Safaricom took at 10:30."""
    payment = routing.take(
        method="mpesa", amount=Decimal(500), reference=RECEIPT, value_date=TODAY, account="",
        by=None, on=TODAY,
    )  # fmt: skip
    approval = staff.ask(
        "reverse_mpesa", subject=payment.number, summary="-", reason="-", by=factories.mutua()
    )
    staff.decide(approval, approve=True, reason="", by=factories.kamau())
    row = Reversal.objects.create(
        payment=payment,
        receipt=RECEIPT,
        amount=500,
        shortcode="174379",
        approval=Approval.objects.get(),
        asked_by=factories.mutua(),
        approved_by=factories.kamau(),
        status=Reversal.Status.SENT,
        requested_at=AT,
        sent_at=AT,
        conversation_id="AG_20261121_2010abcdef",
        originator_id="16740-34861180-1",
    )
    begin_going_back(payment, by=None, reason="Sent back")
    return row


def post(client, case: dict) -> dict:
    answer = client.post(
        f"/daraja/{SECRET}/{case['kind']}/", body_of(case), content_type="application/json"
    )
    assert answer.status_code == 200
    return answer.json()


def post_and_apply_twice(client, case: dict) -> Callback:
    """Post a body twice and do the worker's job twice; return the first of its rows."""
    assert post(client, case) == case["answer"]
    assert post(client, case) == case["answer"]
    first = Callback.objects.order_by("pk").first()
    for _ in range(3):  # what a notification stores is applied in its turn
        for callback in Callback.objects.order_by("pk"):
            jobs.apply_callback(callback.pk)
    first.refresh_from_db()
    return first


def test_the_corpus_is_not_lost():
    assert len(REVERSALS) >= 60
    assert len(PULLS) >= 50


@pytest.mark.parametrize("path", REVERSALS, ids=lambda path: path.stem)
def test_a_result_of_a_reversal_does_what_its_file_says_and_twice_no_more(client, path):
    case = json.loads(path.read_text())
    row = on_its_way()

    first = post_and_apply_twice(client, case)

    effect = case["effect"]
    row.refresh_from_db()
    payment = Payment.objects.get()
    state = "going back" if payment.is_going_back else payment.status
    assert (first.status, row.status, state) == (
        effect["callback"],
        effect["reversal"],
        effect["payment"],
    )
    if effect["reversal"] in ("done", "failed"):
        assert row.result_code == effect.get("code", row.result_code)
        assert row.explanation.meaning
    mirrors = JournalEntry.objects.exclude(reverses=None).count()
    assert mirrors == (effect["payment"] == "reversed")
    books.prove()


@pytest.mark.parametrize("path", PULLS, ids=lambda path: path.stem)
def test_what_a_pull_tells_does_what_its_file_says_and_twice_no_more(client, path):
    case = json.loads(path.read_text())

    first = post_and_apply_twice(client, case)

    effect = case["effect"]
    assert first.status == effect["callback"]
    paid_in = {payment.reference: str(payment.amount) for payment in Payment.objects.all()}
    assert paid_in == effect.get("payments", {})
    assert not Callback.objects.filter(status=Callback.Status.RECEIVED).exists()


# --- Anything at all -----------------------------------------------------------------------------
RESULT = ("ResultCode", "ResultDesc", "ConversationID", "TransactionID", "ResultParameters")
ROW = ("transactionId", "trxDate", "msisdn", "sender", "transactiontype", "billreference", "amount")


@given(st.binary(max_size=300))
def test_bytes_from_anywhere_raise_nothing_but_malformed(body):
    for parse in (parse_reversal, parse_pulled):
        with pytest.raises(MalformedCallback):
            parse(body)
    with suppress(MalformedCallback):
        assert parse_notice(body) == []


@given(
    st.fixed_dictionaries({}, optional=dict.fromkeys(RESULT, json_values)),
    st.lists(
        st.fixed_dictionaries(
            {"Key": st.sampled_from(["Amount", "OriginalTransactionID", "TransCompletedTime"])},
            optional={"Value": json_values},
        ),
        max_size=4,
    ),
)
def test_a_result_of_any_types_is_read_or_malformed(changes, items):
    result = {
        "ResultCode": 0,
        "ConversationID": "AG_1",
        "ResultParameters": {"ResultParameter": items},
        **changes,
    }

    try:
        found = parse_reversal(json.dumps({"Result": result}).encode())
    except MalformedCallback:
        return

    assert found.amount is None or 0 < found.amount < 10**9
    assert found.result.conversation_id


@given(st.fixed_dictionaries({}, optional=dict.fromkeys(ROW, json_values)), json_values)
def test_a_row_of_any_types_is_read_or_malformed(row, response):
    for parse, body in ((parse_pulled, row), (parse_notice, {**row, "Response": response})):
        try:
            found = parse(json.dumps(body).encode())
        except MalformedCallback:
            continue
        assert isinstance(found, list) or 0 < found.amount < 10**9
