"""Results of payouts: every body of the corpus, posted, stored, applied twice; its effect."""

import json

import pytest

from lms import jobs
from lms.ledger.models import Transfer
from lms.loans.models import Loan
from lms.mpesa import operations as mpesa
from lms.mpesa.models import B2cPayment, Callback
from lms.payments.models import Payout
from lms.payouts import operations as payouts
from tests import books, factories
from tests.mpesa.conftest import AT
from tests.mpesa.test_callbacks import CORPUS, body_of
from tests.payouts.conftest import DAY

pytestmark = pytest.mark.django_db
BODIES = sorted(CORPUS.glob("b2c_*.json"))
SECRET = "5ec2e7" * 6
OUR_ID = "0d6f1b6c-6d5a-4a3e-9b0e-2f6d8c1a7e55"
THEIR_ID = "AG_20261121_b2c0abcdef"


@pytest.fixture
def sent(safaricom, monkeypatch) -> B2cPayment:
    """KES 100,000 for Wanjiku's loan, sent at 10:30 and taken by Safaricom."""
    with monkeypatch.context() as quiet:
        quiet.setattr(mpesa, "send", lambda part, at: None)
        payouts.send_loan(factories.approved(on=DAY), by=factories.mutua(), on=DAY, at=AT)
    part = B2cPayment.objects.get()
    part.originator_id, part.conversation_id = OUR_ID, THEIR_ID
    part.status, part.sent_at = B2cPayment.Status.SENT, AT
    part.save()
    return part


def test_the_corpus_is_not_lost():
    assert len(BODIES) >= 60
    assert len(list(CORPUS.glob("*.json"))) >= 120


@pytest.mark.parametrize("path", BODIES, ids=lambda path: path.stem)
def test_a_result_does_what_its_file_says_and_twice_no_more(client, sent, path):
    case = json.loads(path.read_text())

    for _ in range(2):
        answer = client.post(
            f"/daraja/{SECRET}/{case['kind']}/", body_of(case), content_type="application/json"
        )
        assert (answer.status_code, answer.json()) == (200, case["answer"])
    for callback in Callback.objects.order_by("pk"):
        jobs.apply_callback(callback.pk)
        jobs.apply_callback(callback.pk)

    effect = case["effect"]
    sent.refresh_from_db()
    first = Callback.objects.order_by("pk").first()
    became = {
        "callback": first.status,
        "payment": sent.status,
        "payout": Payout.objects.get().status,
        "loan": Loan.objects.get().status,
    }
    assert became == {key: value for key, value in effect.items() if key != "receipt"}
    assert sent.receipt == effect.get("receipt")
    paid = Transfer.objects.filter(entry__kind="payout_arrived").count()
    assert paid == (effect["payment"] == "paid")
    books.prove()
