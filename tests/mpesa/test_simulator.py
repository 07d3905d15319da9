import base64
import json
from decimal import Decimal

import pytest
import requests
from django.core.management import CommandError, call_command

from lms import dates
from lms.mpesa.management.commands import daraja_simulator
from lms.mpesa.results import balances_of, number_of, parse_result, payment_of
from lms.mpesa.simulator import Simulator, bodies
from lms.mpesa.simulator.books import _receipt
from lms.payments.operations import receive
from tests import factories
from tests.mpesa.conftest import AT

STAMP = "20261121103000"
PASSWORD = base64.b64encode(f"174379passkey{STAMP}".encode()).decode()


def token(daraja) -> str:
    answer = requests.get(
        f"{daraja.url}/oauth/v1/generate?grant_type=client_credentials",
        auth=("key", "secret"),
        timeout=5,
    )
    return answer.json()["access_token"]


def post(daraja, path: str, body, **headers):
    key = token(daraja)
    return requests.post(
        daraja.url + path,
        json=body,
        headers={"Authorization": f"Bearer {key}", **headers},
        timeout=5,
    )


def push(daraja, door, **changes):
    body = {
        "BusinessShortCode": "174379",
        "Password": PASSWORD,
        "Timestamp": STAMP,
        "TransactionType": "CustomerPayBillOnline",
        "Amount": 500,
        "PartyA": "254712345678",
        "PartyB": "174379",
        "PhoneNumber": "254712345678",
        "CallBackURL": f"{door.url}/stk/",
        "AccountReference": "LN000123",
        "TransactionDesc": "Loan",
        **changes,
    }
    sent = {name: value for name, value in body.items() if value is not None}
    return post(daraja, "/mpesa/stkpush/v1/processrequest", sent)


def push_to(daraja, door, phone: str):
    answer = push(daraja, door, PartyA=phone, PhoneNumber=phone)
    assert daraja.wait_until_quiet()
    return answer.json()


def results(door) -> list:
    return [body["Body"]["stkCallback"]["ResultCode"] for body in door.bodies("stk")]


@pytest.mark.parametrize(
    ("changes", "status", "message"),
    [
        ({"Amount": 10.5}, 400, "Invalid Amount"),
        ({"Amount": 0}, 400, "Invalid Amount"),
        ({"Amount": True}, 400, "Invalid Amount"),
        ({"Amount": 250_001}, 400, "Invalid Amount"),
        ({"PhoneNumber": "0712345678"}, 400, "Invalid PhoneNumber"),
        ({"PartyA": "254711111111"}, 400, "Invalid PhoneNumber"),
        ({"PartyB": "600000"}, 400, "Invalid PartyB"),
        ({"BusinessShortCode": "600000"}, 400, "Invalid BusinessShortCode"),
        ({"Timestamp": "2026-11-21"}, 400, "Invalid Timestamp"),
        ({"Timestamp": "20261121103001"}, 500, "Wrong credentials"),
        ({"Password": "wrong"}, 500, "Wrong credentials"),
        ({"TransactionType": "PayBill"}, 400, "Invalid TransactionType"),
        ({"CallBackURL": "http://office/mpesa/stk/"}, 400, "Invalid CallBackURL"),
        ({"CallBackURL": "ftp://office/stk/"}, 400, "Invalid CallBackURL"),
        ({"AccountReference": "LN00000012345"}, 400, "Invalid AccountReference"),
        ({"AccountReference": None}, 400, "Invalid AccountReference"),
        ({"TransactionDesc": "Fourteen chars"}, 400, "Invalid TransactionDesc"),
    ],
)
def test_it_is_as_strict_as_safaricom(daraja, door, changes, status, message):
    answer = push(daraja, door, **changes)

    assert answer.status_code == status
    assert message in answer.json()["errorMessage"]
    assert daraja.took == []


def test_each_token_kills_the_one_before(daraja):
    old = token(daraja)
    token(daraja)

    answer = requests.post(
        f"{daraja.url}/mpesa/stkpush/v1/processrequest",
        json={},
        headers={"Authorization": f"Bearer {old}"},
        timeout=5,
    )

    assert (answer.status_code, answer.json()["errorCode"]) == (404, "404.001.03")


def test_wrong_credentials_get_no_token(daraja):
    answer = requests.get(
        f"{daraja.url}/oauth/v1/generate?grant_type=client_credentials",
        auth=("key", "wrong"),
        timeout=5,
    )

    assert (answer.status_code, answer.json()["errorCode"]) == (400, "400.008.01")


def test_a_customer_who_pays_is_told_by_callback_and_confirmation_with_one_receipt(daraja, door):
    push_to(daraja, door, "254712345678")

    (taken,) = daraja.took
    (callback,) = door.bodies("stk")
    (confirmation,) = door.bodies("confirmation")
    items = {
        item["Name"]: item.get("Value")
        for item in callback["Body"]["stkCallback"]["CallbackMetadata"]["Item"]
    }
    assert (taken.amount, taken.account) == (500, "LN000123")
    assert items["MpesaReceiptNumber"] == confirmation["TransID"] == taken.receipt
    assert confirmation["MSISDN"] == "2547 ***** 678"


@pytest.mark.parametrize(
    ("phone", "codes", "taken", "confirmations"),
    [
        ("254712345600", [1], 0, 0),
        ("254712345601", [1032], 0, 0),
        ("254712345602", [1037], 0, 0),
        ("254712345603", [], 1, 1),
        ("254712345604", [0, 0], 1, 1),
        ("254712345606", ["00000000"], 1, 1),
        ("254712345607", [1037, 0], 1, 1),
        ("254712345608", [], 1, 0),
    ],
)
def test_the_end_of_the_phone_decides(daraja, door, phone, codes, taken, confirmations):
    push_to(daraja, door, phone)

    assert results(door) == codes
    assert len(daraja.took) == taken
    assert len(door.bodies("confirmation")) == confirmations


def test_05_takes_its_time():
    assert bodies.habit_of("254712345605").delay == 8


def test_a_query_is_pending_until_the_customer_decides(daraja, door):
    daraja.callback_delay = 60
    checkout_id = push(daraja, door).json()["CheckoutRequestID"]
    query = {
        "BusinessShortCode": "174379",
        "Password": PASSWORD,
        "Timestamp": STAMP,
        "CheckoutRequestID": checkout_id,
    }

    answer = post(daraja, "/mpesa/stkpushquery/v1/query", query)

    assert answer.status_code == 500
    assert answer.json()["errorMessage"] == "The transaction is being processed"


def test_a_query_answers_with_a_text(daraja, door):
    checkout_id = push_to(daraja, door, "254712345601")["CheckoutRequestID"]
    query = {
        "BusinessShortCode": "174379",
        "Password": PASSWORD,
        "Timestamp": STAMP,
        "CheckoutRequestID": checkout_id,
    }

    answer = post(daraja, "/mpesa/stkpushquery/v1/query", query)

    assert answer.json()["ResultCode"] == "1032"


def test_one_prompt_at_a_time_on_a_phone(daraja, door):
    daraja.callback_delay = 60
    push(daraja, door)

    answer = push(daraja, door)

    assert answer.status_code == 500
    assert "Unable to lock subscriber" in answer.json()["errorMessage"]


def test_the_same_amount_within_two_minutes_is_limited(daraja, door):
    push_to(daraja, door, "254712345678")
    push_to(daraja, door, "254712345678")

    assert results(door) == [0, 17]
    assert len(daraja.took) == 1


def test_urls_are_registered_and_a_simulated_payment_uses_them(daraja, door):
    register = {
        "ShortCode": "174379",
        "ResponseType": "Completed",
        "ConfirmationURL": f"{door.url}/v1/confirmation/",
        "ValidationURL": f"{door.url}/v1/validation/",
    }
    simulate = {
        "ShortCode": "174379",
        "CommandID": "CustomerPayBillOnline",
        "Amount": 70,
        "Msisdn": "254712345678",
        "BillRefNumber": "LN000123",
    }

    assert post(daraja, "/mpesa/c2b/v1/registerurl", register).json()["ResponseCode"] == "0"
    assert post(daraja, "/mpesa/c2b/v1/simulate", simulate).json()["ResponseCode"] == "0"
    assert daraja.wait_until_quiet()

    assert [path for path, _ in door.posted] == ["/v1/validation/", "/v1/confirmation/"]
    assert len(door.bodies("confirmation")[0]["MSISDN"]) == 64


@pytest.mark.parametrize(
    "changes",
    [
        {"ResponseType": "completed"},
        {"ShortCode": "600000"},
        {"ConfirmationURL": "http://office/sql/"},
    ],
)
def test_a_bad_registration_is_turned_away(daraja, door, changes):
    register = {
        "ShortCode": "174379",
        "ResponseType": "Completed",
        "ConfirmationURL": f"{door.url}/c/",
        "ValidationURL": f"{door.url}/v/",
        **changes,
    }

    assert post(daraja, "/mpesa/c2b/v2/registerurl", register).status_code == 400


def test_a_person_plays_the_customer_by_the_control_door(daraja, door):
    paid = requests.post(
        f"{daraja.url}/_control/pay",
        json={"account": "LN000123", "amount": 300, "phone": "254712345678"},
        timeout=5,
    ).json()

    sent = requests.get(f"{daraja.url}/_control/sent", timeout=5).json()["sent"]
    assert [(each["receipt"], each["amount"]) for each in sent] == [(paid["receipt"], 300)]


def test_a_rejected_validation_takes_no_money(daraja, door):
    door.answer = {"ResultCode": "C2B00012", "ResultDesc": "Rejected"}

    paid = daraja.pay(account="LN999999", amount=300, phone="254712345678")

    assert paid["accepted"] is False
    assert daraja.took == []


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b"[" * 60_000])
def test_a_body_that_is_no_object_is_malformed(daraja, body):
    answer = requests.post(f"{daraja.url}/mpesa/stkpush/v1/processrequest", data=body, timeout=5)

    assert (answer.status_code, answer.json()["errorCode"]) == (400, "400.002.05")


def test_unknown_paths_are_not_found(daraja):
    assert requests.get(f"{daraja.url}/mpesa/", timeout=5).status_code == 404
    assert post(daraja, "/mpesa/b2c/v9/pay", {}).status_code == 404


def test_a_receipt_looks_like_safaricoms():
    receipt = _receipt(AT)

    assert receipt[:3] == "UKL"
    assert len(receipt) == 10


def test_leaving_the_block_frees_the_port():
    with Simulator() as first:
        port = int(first.url.rpartition(":")[2])

    with Simulator(port=port) as second:
        assert second.url == first.url


def test_the_command_says_when_its_port_is_taken(daraja):
    port = int(daraja.url.rpartition(":")[2])

    with pytest.raises(CommandError, match=f"Port {port} cannot be used"):
        call_command("daraja_simulator", port=port)


# --- Questions of the initiator ------------------------------------------------------------------
def question(daraja, door, path: str, **changes):
    body = {
        "Initiator": "testapi",
        "SecurityCredential": "c" * 344,
        "CommandID": "AccountBalance",
        "PartyA": "174379",
        "IdentifierType": "4",
        "Remarks": "Balance",
        "QueueTimeOutURL": f"{door.url}/timeout/",
        "ResultURL": f"{door.url}/result/",
        **changes,
    }
    sent = {name: value for name, value in body.items() if value is not None}
    answer = post(daraja, path, sent)
    assert daraja.wait_until_quiet()
    return answer


def ask_balance(daraja, door, **changes):
    return question(daraja, door, "/mpesa/accountbalance/v1/query", **changes)


def ask_status(daraja, door, receipt, **changes):
    about = {"CommandID": "TransactionStatusQuery", "TransactionID": receipt, "Occasion": "x"}
    return question(daraja, door, "/mpesa/transactionstatus/v1/query", **{**about, **changes})


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"Initiator": None}, "Initiator"),
        ({"Initiator": ""}, "Initiator"),
        ({"SecurityCredential": None}, "SecurityCredential"),
        ({"SecurityCredential": "plain password"}, "SecurityCredential"),
        ({"SecurityCredential": "c" * 340}, "SecurityCredential"),
        ({"CommandID": "Balance"}, "CommandID"),
        ({"PartyA": "600000"}, "PartyA"),
        ({"PartyA": 174379.0}, "PartyA"),
        ({"IdentifierType": "1"}, "IdentifierType"),
        ({"IdentifierType": True}, "IdentifierType"),
        ({"Remarks": "x"}, "Remarks"),
        ({"Remarks": "x" * 101}, "Remarks"),
        ({"ResultURL": "http://office/mpesa/"}, "ResultURL"),
        ({"QueueTimeOutURL": None}, "QueueTimeOutURL"),
    ],
)
def test_a_malformed_question_is_turned_away(daraja, door, changes, field):
    answers = [ask_balance(daraja, door, **changes)]
    if "CommandID" not in changes:
        answers.append(ask_status(daraja, door, "UKL7AB12CD", **changes))

    for answer in answers:
        assert (answer.status_code, answer.json()["errorCode"]) == (400, "400.002.02")
        assert answer.json()["errorMessage"] == f"Bad Request - Invalid {field}"
    assert door.posted == []


def test_a_question_about_no_receipt_is_turned_away(daraja, door):
    for receipt in (None, "", "UKL 7AB12CD", 12.5):
        answer = ask_status(daraja, door, receipt)
        assert answer.json()["errorMessage"] == "Bad Request - Invalid TransactionID"


def test_a_wrong_initiator_learns_it_from_the_result(daraja, door):
    ask_balance(daraja, door, Initiator="somebody")
    daraja.opens = lambda credential: False
    ask_balance(daraja, door)

    codes = [body["Result"]["ResultCode"] for body in door.bodies("result")]
    assert codes == ["2001", "2001"]


def test_balances_follow_what_it_took(daraja, door):
    daraja.books.utility = 1000
    daraja.pay(account="LN000123", amount=300, phone="254712345678")

    answer = ask_balance(daraja, door).json()

    (told,) = door.bodies("result")
    result = parse_result(json.dumps(told))
    held = {each.account: each.current for each in balances_of(result)}
    assert held["Utility Account"] == 1300
    assert held["Charges Paid Account"] == -23
    assert result.conversation_id == answer["ConversationID"]
    assert result.originator_id == answer["OriginatorConversationID"]


def test_the_status_of_what_it_took_is_completed_and_of_anything_else_unknown(daraja, door):
    paid = daraja.pay(account="LN000123", amount=300, phone="254712345678")

    ask_status(daraja, door, paid["receipt"])
    ask_status(daraja, door, "UKL7AB12CD")

    known, unknown = (parse_result(json.dumps(body)) for body in door.bodies("result"))
    found = payment_of(known)
    assert (found.receipt, found.amount, found.status) == (paid["receipt"], 300, "Completed")
    assert number_of(found.payer) == "254712345678"
    assert unknown.result_code == "SFC_IC0003"


@pytest.mark.parametrize(
    ("receipt", "paths"),
    [
        ("UKL7AB12Q1", ["/timeout/"]),
        ("UKL7AB12Q2", []),
        ("UKL7AB12Q3", ["/result/", "/result/"]),
        ("UKL7AB12Q5", ["/result/"]),
    ],
)
def test_the_end_of_a_receipt_decides(daraja, door, receipt, paths):
    ask_status(daraja, door, receipt)

    assert [path for path, _ in door.posted] == paths


def test_the_gateway_may_answer_a_page(daraja, door):
    answer = ask_status(daraja, door, "UKL7AB12Q4")

    assert (answer.status_code, answer.headers["Content-Type"]) == (500, "text/html")
    assert door.posted == []


def test_the_control_door_says_what_becomes_of_the_next_question(daraja, door):
    control = f"{daraja.url}/_control/next"

    assert requests.post(control, json={"answer": "drop"}, timeout=5).json() == {"next": ["drop"]}
    assert requests.post(control, json={"answer": "dance"}, timeout=5).status_code == 400
    ask_balance(daraja, door)
    ask_balance(daraja, door)

    assert len(door.bodies("result")) == 1


# --- Reversals -----------------------------------------------------------------------------------
REVERSAL = "/mpesa/reversal/v1/request"


def reversal_of(door, receipt: str, **changes) -> dict:
    body = {
        "Initiator": "testapi",
        "SecurityCredential": "c" * 344,
        "CommandID": "TransactionReversal",
        "TransactionID": receipt,
        "Amount": 700,
        "ReceiverParty": "174379",
        "RecieverIdentifierType": "11",
        "ResultURL": f"{door.url}/reversal/",
        "QueueTimeOutURL": f"{door.url}/reversal-timeout/",
        "Remarks": "Reversal",
        "Occasion": "",
        **changes,
    }
    return {name: value for name, value in body.items() if value is not None}


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"CommandID": "Reversal"}, "CommandID"),
        ({"ReceiverParty": "600000"}, "ReceiverParty"),
        ({"RecieverIdentifierType": "4"}, "RecieverIdentifierType"),
        (
            {"RecieverIdentifierType": None, "ReceiverIdentifierType": "11"},
            "RecieverIdentifierType",
        ),
        ({"TransactionID": "short"}, "TransactionID"),
        ({"Amount": "700.00"}, "Amount"),
        ({"Amount": 0}, "Amount"),
        ({"Remarks": "x"}, "Remarks"),
        ({"SecurityCredential": "short"}, "SecurityCredential"),
        ({"ResultURL": "https://office/mpesa/"}, "ResultURL"),
        ({"QueueTimeOutURL": None}, "QueueTimeOutURL"),
    ],
)
def test_a_malformed_reversal_is_turned_away(daraja, door, changes, field):
    receipt = daraja.pay(account="FEES", amount=700, phone="254712345678")["receipt"]

    answer = post(daraja, REVERSAL, reversal_of(door, receipt, **changes))

    assert (answer.status_code, answer.json()["errorCode"]) == (400, "400.002.02")
    assert answer.json()["errorMessage"].endswith(f"Invalid {field}")
    assert len(daraja.books.kept()) == 1


def test_a_reversal_takes_the_money_out_of_its_books_once(daraja, door):
    receipt = daraja.pay(account="FEES", amount=700, phone="254712345678")["receipt"]

    for _ in range(2):
        post(daraja, REVERSAL, reversal_of(door, receipt))
        assert daraja.wait_until_quiet()

    codes = [body["Result"]["ResultCode"] for body in door.bodies("reversal")]
    assert codes == ["0", "R000001"]
    sent = requests.get(f"{daraja.url}/_control/sent", timeout=5).json()["sent"]
    assert [each["kept"] for each in sent] == [False]
    assert daraja.books.balances()["Utility Account"] == 0


@pytest.mark.parametrize("changes", [{"Amount": 699}, {"TransactionID": "UKL7AB12CD"}])
def test_what_was_not_paid_so_cannot_go_back(daraja, door, changes):
    receipt = daraja.pay(account="FEES", amount=700, phone="254712345678")["receipt"]

    post(daraja, REVERSAL, reversal_of(door, receipt, **changes))
    assert daraja.wait_until_quiet()

    assert [body["Result"]["ResultCode"] for body in door.bodies("reversal")] == ["R000002"]
    assert len(daraja.books.kept()) == 1


@pytest.mark.parametrize(
    ("script", "told", "kept"),
    [("timeout", ["1"], 1), ("drop", [], 0), ("twice", ["0", "0"], 0), ("late", ["17", "0"], 0)],
)
def test_the_control_door_says_what_becomes_of_a_reversal(daraja, door, script, told, kept):
    receipt = daraja.pay(account="FEES", amount=700, phone="254712345678")["receipt"]
    requests.post(f"{daraja.url}/_control/next", json={"answer": script}, timeout=5)

    post(daraja, REVERSAL, reversal_of(door, receipt))
    assert daraja.wait_until_quiet()

    results = [*door.bodies("reversal-timeout"), *door.bodies("reversal")]
    assert [body["Result"]["ResultCode"] for body in results] == told
    assert len(daraja.books.kept()) == kept


def test_a_reversal_whose_answer_is_a_page_was_not_worked_on(daraja, door):
    receipt = daraja.pay(account="FEES", amount=700, phone="254712345678")["receipt"]
    daraja.next_answers.append("html")

    answer = post(daraja, REVERSAL, reversal_of(door, receipt))

    assert answer.headers["Content-Type"] == "text/html"
    assert len(daraja.books.kept()) == 1


@pytest.mark.django_db
def test_it_knows_the_payments_of_the_books_it_begins_with():
    head = factories.branch()
    for number, (amount, phone) in enumerate(
        [("700", "2547 ***** 678"), ("900", "254712345678"), ("5.50", "")]
    ):
        receive(
            method="mpesa", amount=Decimal(amount), reference=f"UKL000000{number}",
            value_date=dates.today(), account="FEES", branch=head, by=None, on=dates.today(),
            payer_phone=phone,
        )  # fmt: skip

    found = daraja_simulator.money_at_start("books")

    assert [(taken.receipt, taken.amount, taken.phone) for taken in found["took"]] == [
        ("UKL0000000", 700, "254700000000"),
        ("UKL0000001", 900, "254712345678"),
    ]
    with Simulator(**found) as running:
        balances = running.books.balances()
    assert (balances["Utility Account"], balances["Charges Paid Account"]) == (1605, 0)
