"""What Daraja sent, as it is kept and shown, and the questions it asks before a payment."""

import pytest

from lms.errors import Refused
from lms.mpesa.models import Callback
from lms.mpesa.operations import record_callback, reopen, set_aside, validate
from lms.payments.models import Payment
from tests import factories
from tests.mpesa.conftest import AT, book, c2b_body, pushed, received, stk_body

pytestmark = pytest.mark.django_db


def stk(**changes) -> Callback:
    return received("stk", stk_body(**changes))


def test_what_daraja_sent_is_kept_byte_for_byte():
    body = bytes(range(256))

    key = record_callback(
        kind="stk", body=body, headers={"Content-Type": "x"}, remote_addr="196.201.214.200", at=AT
    )

    callback = Callback.objects.get(pk=key)
    assert bytes(callback.body) == body
    assert callback.text.startswith("\x00\x01")


def test_evidence_is_neither_edited_nor_deleted():
    callback = stk()

    for change in (
        callback.save,
        lambda: callback.save(update_fields=["body"]),
        callback.delete,
    ):
        with pytest.raises(Refused, match="evidence"):
            change()


def test_a_callback_set_aside_can_be_put_back_in_line(kamau):
    callback = stk()
    assert book(callback).status == Callback.Status.REVIEW
    pushed()

    book(reopen(callback, by=kamau, at=AT))

    assert Payment.objects.count() == 1
    with pytest.raises(Refused, match="nothing to do"):
        reopen(callback, by=kamau, at=AT)


def test_a_job_may_set_a_callback_aside_but_not_one_that_is_done():
    callback = stk()

    assert set_aside(callback, "There is no branch yet.", at=AT).status == Callback.Status.REVIEW
    pushed()
    done = book(stk())
    assert set_aside(done, "Too late.", at=AT).status == Callback.Status.APPLIED


def test_staff_see_callbacks_of_their_branch_and_those_nobody_owns(wanjiku, kamau):
    mombasa = factories.staff("moraa", branch=factories.branch("MSA", "Mombasa"))
    pushed(customer=wanjiku)
    ours = book(stk(code=1032))
    nobodys = book(stk(checkout_id="ws_CO_forged"))

    assert set(Callback.objects.seen_by(kamau)) == {ours, nobodys}
    assert set(Callback.objects.seen_by(mombasa)) == {nobodys}


# --- Validation


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({}, "0"),
        ({"BillRefNumber": "LN999999"}, "C2B00012"),
        ({"BillRefNumber": ""}, "C2B00012"),
        ({"TransAmount": "0"}, "C2B00013"),
        ({"TransAmount": "1e308"}, "C2B00013"),
        ({"BusinessShortCode": "600000"}, "C2B00015"),
        ({"TransID": None}, "C2B00016"),
    ],
)
def test_a_validation_is_answered_with_safaricoms_code(changes, code):
    answer = validate(c2b_body(**changes), knows_account=lambda text: text == "LN000123")

    assert answer == {
        "ResultCode": code,
        "ResultDesc": "Accepted" if code == "0" else "Rejected",
    }


def test_a_validation_that_cannot_be_read_is_rejected():
    assert validate(b"\xff", knows_account=lambda text: True)["ResultCode"] == "C2B00016"
