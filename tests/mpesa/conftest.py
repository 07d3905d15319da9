"""The loopback Daraja, a lender's door that only listens, and bodies as Safaricom writes them."""

import json
import threading
from datetime import date, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from lms.dates import EAT
from lms.mpesa.models import Callback, MpesaPayment
from lms.mpesa.operations import apply, attach
from lms.mpesa.simulator import Simulator
from lms.payments.operations import AlreadyPosted, receive
from tests import factories

AT = datetime(2026, 11, 21, 10, 30, tzinfo=EAT)
TODAY = date(2026, 11, 21)
PHONE = "254712345678"


class Door:
    """Keeps what is posted to it and answers as it is told."""

    def __init__(self) -> None:
        self.posted: list[tuple[str, dict]] = []
        self.kept: list[tuple[str, bytes]] = []  # the kind and the body as it came
        self.answer = {"ResultCode": "0", "ResultDesc": "Accepted"}
        door = self

        class Listener(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                door.kept.append((self.path.rstrip("/").rpartition("/")[2], body))
                door.posted.append((self.path, json.loads(body)))
                content = json.dumps(door.answer).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *args) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Listener)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def bodies(self, kind: str) -> list[dict]:
        return [body for path, body in self.posted if path.endswith(f"/{kind}/")]

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def door():
    found = Door()
    yield found
    found.close()


@pytest.fixture
def daraja(settings, door):
    """A loopback Daraja that the settings point at; its callbacks come to `door`."""
    settings.DARAJA_SHORTCODE = "174379"
    settings.DARAJA_CALLBACK_BASE = door.url
    settings.DARAJA_TIMEOUT = 5
    with Simulator(
        confirmation_url=f"{door.url}/confirmation/", validation_url=f"{door.url}/validation/"
    ) as simulator:
        settings.DARAJA_URL = simulator.url
        yield simulator


def stk_body(*, code=0, checkout_id="ws_CO_1", amount=500, receipt="UKL7AB12CD", **items) -> bytes:
    """Return an STK callback as Safaricom writes it; a failure has no metadata."""
    callback = {
        "MerchantRequestID": "29115-34620561-1",
        "CheckoutRequestID": checkout_id,
        "ResultCode": code,
        "ResultDesc": "As documented.",
    }
    if str(code).strip("0") == "":
        values = {
            "Amount": amount,
            "MpesaReceiptNumber": receipt,
            "TransactionDate": 20261121103045,
            "PhoneNumber": int(PHONE),
            **items,
        }
        callback["CallbackMetadata"] = {
            "Item": [{"Name": name, "Value": value} for name, value in values.items()]
        }
    return json.dumps({"Body": {"stkCallback": callback}}).encode()


def c2b_body(**changes) -> bytes:
    """Return a C2B confirmation as Safaricom writes it."""
    return json.dumps(
        {
            "TransactionType": "Pay Bill",
            "TransID": "UKL7AB12CD",
            "TransTime": "20261121103045",
            "TransAmount": "500.00",
            "BusinessShortCode": "174379",
            "BillRefNumber": "LN000123",
            "InvoiceNumber": "",
            "OrgAccountBalance": "49197.00",
            "ThirdPartyTransID": "",
            "MSISDN": "2547 ***** 678",
            "FirstName": "WANJIKU",
            "MiddleName": "",
            "LastName": "MWANGI",
            **changes,
        }
    ).encode()


def pushed(**fields) -> MpesaPayment:
    """Return a request for KES 500 on LN000123 that Safaricom accepted at 10:30."""
    return MpesaPayment.objects.create(
        **{
            "phone": PHONE,
            "amount": 500,
            "account": "LN000123",
            "purpose": "Loan",
            "status": MpesaPayment.Status.SENT,
            "requested_at": AT,
            "checkout_request_id": "ws_CO_1",
            **fields,
        }
    )


def received(kind: str, body: bytes, *, at: datetime = AT) -> Callback:
    return Callback.objects.create(kind=kind, body=body, received_at=at)


def book(callback: Callback) -> Callback:
    """Do what the job in the room above does: apply, receive, attach."""
    money = apply(callback, at=AT)
    if money is not None:
        try:
            payment = receive(
                method="mpesa",
                amount=money.amount,
                reference=money.receipt,
                value_date=money.value_date,
                account=money.account,
                branch=factories.branch(),
                by=None,
                on=TODAY,
                payer_name=money.payer_name,
                payer_phone=money.phone,
            )
        except AlreadyPosted as posted:
            payment = posted.payment
        attach(callback, payment, at=AT)
    callback.refresh_from_db()
    return callback
