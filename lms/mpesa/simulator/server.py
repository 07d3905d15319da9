"""The loopback Daraja: Safaricom's paths, its strictness, and its callbacks.

A customer's phone decides what they do with a prompt (`bodies.HABITS`). Under `/_control/` a test
or a person plays the customer: POST /_control/pay {account, amount, phone} pays the paybill,
GET /_control/sent lists the money taken, GET /_control/paid what was paid to customers
(`payouts.HABITS`), POST /_control/next {answer} says what becomes of the initiator's next request,
or of the next pull (`bodies.ANSWERS`), POST /_control/faults {seed, drop, …} at what rates
everything goes wrong (`faults`).
"""

import base64
import json
import secrets
import threading
from collections.abc import Callable, Iterable
from datetime import timedelta
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

from lms.mpesa.simulator import bodies, payouts, pulls, reversals, rules
from lms.mpesa.simulator.books import Books, Prompt, Taken, now
from lms.mpesa.simulator.courier import Courier, post
from lms.mpesa.simulator.faults import Faults, HungUp
from lms.mpesa.simulator.rules import Page, Turned, invalid

LARGEST_BODY = 65536
REPEAT_WINDOW = timedelta(minutes=2)


PAGE = "<html><head><title>500</title></head><body>Internal Server Error</body></html>"


class Simulator:
    """A Daraja that listens on this machine while the `with` block runs."""

    def __init__(
        self,
        *,
        port: int = 0,
        shortcode: str = "174379",
        passkey: str = "passkey",
        consumer_key: str = "key",
        consumer_secret: str = "secret",  # noqa: S107 - of the loopback, not of Safaricom
        callback_delay: float = 0,
        confirmation_url: str = "",
        validation_url: str = "",
        initiator: str = "testapi",
        opens: Callable[[str], bool] = lambda credential: True,
        b2c_shortcode: str = "",
        utility: int = 0,
        working: int = 0,
        puller: str = "",
        took: Iterable[Taken] = (),
    ) -> None:
        """Listen on `port`, or any that is free.

        `opens` tells whether a SecurityCredential is the initiator's; `utility` and
        `working` are what these accounts hold before the first payment (whole KES). `puller` is
        the phone that was nominated for pulling before, `took` is money taken before.
        """
        self.shortcode = shortcode
        self.passkey = passkey
        self.basic = base64.b64encode(f"{consumer_key}:{consumer_secret}".encode()).decode()
        self.callback_delay = callback_delay
        self.confirmation_url = confirmation_url
        self.validation_url = validation_url
        self.c2b_version = 2
        self.initiator = initiator
        self.opens = opens
        self.shortcodes = (shortcode, b2c_shortcode or shortcode)
        self.next_answers: list[str] = []
        before = list(took)
        self.books = Books(
            utility=utility, working=working, puller=puller, took=before, brought=len(before)
        )
        self.paid = payouts.PaidBooks()
        self.courier = Courier()
        self.faults = Faults()
        self._server = ThreadingHTTPServer(("127.0.0.1", port), partial(Handler, self))
        self._server.daemon_threads = True
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.05,), daemon=True
        )

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    @property
    def took(self) -> list[Taken]:
        """The money taken from customers so far, oldest first."""
        with self.books.lock:
            return list(self.books.took)

    def wait_until_quiet(self, *, timeout: float = 10) -> bool:
        """Return True once every callback was delivered, False after `timeout` seconds."""
        return self.courier.wait_until_quiet(timeout=timeout)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_) -> None:
        self._server.shutdown()
        self._server.server_close()
        self.courier.stop()

    def deliver(self, url: str, body: dict[str, Any]) -> None:
        """Post a callback, with the faults that are asked for."""
        self.faults.deliver(self.courier, url, body)

    # --- M-Pesa Express ---

    def stk_push(self, body: dict[str, Any]) -> dict[str, Any]:
        rules.stk_push(body, shortcode=self.shortcode, passkey=self.passkey)
        prompt = self.books.prompt(
            phone=str(body["PhoneNumber"]),
            amount=int(body["Amount"]),
            account=str(body["AccountReference"]),
            callback_url=str(body["CallBackURL"]),
        )
        if prompt is None:
            raise Turned(
                500,
                "500.001.1001",
                "Unable to lock subscriber, a transaction is already in process for the current "
                "subscriber",
            )
        habit = bodies.habit_of(prompt.phone)
        if habit.pays and self.books.asked_lately(prompt, within=REPEAT_WINDOW):
            habit = bodies.REPEATED
        self.courier.later(
            lambda: self._decide(prompt, habit), delay=self.callback_delay + habit.delay
        )
        return {
            "MerchantRequestID": prompt.merchant_id,
            "CheckoutRequestID": prompt.checkout_id,
            "ResponseCode": "0",
            "ResponseDescription": "Success. Request accepted for processing",
            "CustomerMessage": "Success. Request accepted for processing",
        }

    def _decide(self, prompt: Prompt, habit: bodies.Habit) -> None:
        """Let the customer act on the prompt and tell the lender."""
        if not habit.pays:
            prompt.result_code, prompt.result_desc = habit.result_code, habit.result_desc
            self.deliver(
                prompt.callback_url,
                bodies.stk_failure(prompt, habit.result_code, habit.result_desc),
            )
            if habit.pays_late:
                self.courier.later(
                    lambda: self._decide(prompt, bodies.Habit()), delay=self.callback_delay
                )
            return
        taken = self.books.take(
            phone=prompt.phone,
            amount=prompt.amount,
            account=prompt.account,
            checkout_id=prompt.checkout_id,
        )
        prompt.result_code, prompt.result_desc = habit.result_code, habit.result_desc
        for _ in range(habit.callbacks):
            self.deliver(
                prompt.callback_url,
                bodies.stk_success(prompt, taken, odd_types=habit.odd_types),
            )
        if habit.confirmation:
            self._confirm(taken)

    def stk_query(self, body: dict[str, Any]) -> dict[str, Any]:
        rules.demand(body, rules.QUERY_FIELDS)
        rules.signature(body, shortcode=self.shortcode, passkey=self.passkey)
        prompt = self.books.prompts.get(str(body["CheckoutRequestID"]))
        if prompt is None:
            raise invalid("CheckoutRequestID")
        if prompt.result_code is None:
            raise Turned(500, "500.001.1001", "The transaction is being processed")
        return {
            "ResponseCode": "0",
            "ResponseDescription": "The service request has been accepted successfully",
            "MerchantRequestID": prompt.merchant_id,
            "CheckoutRequestID": prompt.checkout_id,
            "ResultCode": prompt.result_code,
            "ResultDesc": prompt.result_desc,
        }

    # --- Questions of the initiator ---

    def account_balance(self, body: dict[str, Any]) -> dict[str, Any]:
        rules.account_balance(body, shortcodes=self.shortcodes)

        def result(ids: tuple[str, str], answer: bodies.Answer) -> dict[str, Any]:
            if refusal := self.refusal(body, ids):
                return refusal
            values = bodies.balance_values(self.books.balances(), now())
            return bodies.result(ids, values=values, odd_types=answer.odd_types)

        return self.answer_later(body, result)

    def transaction_status(self, body: dict[str, Any]) -> dict[str, Any]:
        rules.transaction_status(body, shortcodes=self.shortcodes)
        receipt = str(body.get("TransactionID", ""))
        named = body.get("OriginalConversationID") or body.get("OriginatorConversationID")

        def result(ids: tuple[str, str], answer: bodies.Answer) -> dict[str, Any]:
            if refusal := self.refusal(body, ids):
                return refusal
            paid = self.paid.with_id(str(named)) if named else self.paid.with_receipt(receipt)
            if paid is not None:
                values = payouts.status_values(paid, shortcode=self.shortcodes[-1])
                return bodies.result(ids, receipt=paid.receipt, values=values)
            taken = self.books.taken_with(receipt)
            if taken is None:
                return bodies.result(
                    ids, code="SFC_IC0003", description="The transaction does not exist."
                )
            status = "Reversed" if receipt in self.books.sent_back else answer.status
            values = bodies.status_values(taken, shortcode=self.shortcode, status=status)
            return bodies.result(ids, receipt=receipt, values=values, odd_types=answer.odd_types)

        return self.answer_later(body, result, script=bodies.RECEIPTS.get(receipt[-2:], ""))

    def refusal(self, body: dict[str, Any], ids: tuple[str, str]) -> dict[str, Any] | None:
        """Return the result for an initiator whose name or credential is wrong."""
        name = body.get("Initiator", body.get("InitiatorName"))  # payouts name it otherwise
        if name == self.initiator and self.opens(str(body["SecurityCredential"])):
            return None
        return bodies.result(ids, code="2001", description="The initiator information is invalid.")

    def next_script(self) -> str:
        """Return what the next request was told to come to, once, or ""."""
        with self.books.lock:
            return self.next_answers.pop(0) if self.next_answers else ""

    def answer_later(
        self,
        body: dict[str, Any],
        result: Callable[[tuple[str, str], bodies.Answer], dict[str, Any]],
        *,
        script: str = "",
    ) -> dict[str, Any]:
        """Take a question and post its result, or what the script says instead."""
        answer = bodies.ANSWERS.get(self.next_script() or script, bodies.Answer())
        if answer.html:
            raise Page
        ids = (f"{self.books.new_id()}-1", f"AG_{now():%Y%m%d}_{secrets.token_hex(10)}")

        def tell() -> None:
            if answer.times_out:
                self.deliver(
                    str(body["QueueTimeOutURL"]), bodies.result(ids, code="1", description="-")
                )
                return
            if answer.fails_first:
                failed = bodies.result(ids, code="17", description="Failed")
                self.deliver(str(body["ResultURL"]), failed)
            made = result(ids, answer)  # also where nobody is told
            for _ in range(answer.results):
                self.deliver(str(body["ResultURL"]), made)

        self.courier.later(tell, delay=self.callback_delay)
        return {
            "OriginatorConversationID": ids[0],
            "ConversationID": ids[1],
            "ResponseCode": "0",
            "ResponseDescription": "Accept the service request successfully.",
        }

    # --- Customer to business ---

    def register_urls(self, body: dict[str, Any], *, version: int) -> dict[str, Any]:
        rules.demand(body, rules.REGISTER_FIELDS)
        if str(body["ShortCode"]) != self.shortcode:
            raise invalid("ShortCode")
        if body["ResponseType"] not in ("Completed", "Cancelled"):
            raise invalid("ResponseType")
        self.confirmation_url = rules.callback_url(body["ConfirmationURL"], "ConfirmationURL")
        self.validation_url = rules.callback_url(body["ValidationURL"], "ValidationURL")
        self.c2b_version = version
        return self._c2b_answer()

    def simulate(self, body: dict[str, Any]) -> dict[str, Any]:
        rules.demand(body, rules.SIMULATE_FIELDS)
        if str(body["ShortCode"]) != self.shortcode:
            raise invalid("ShortCode")
        if body["CommandID"] != "CustomerPayBillOnline":
            raise invalid("CommandID")
        phone = rules.phone(body["Msisdn"], "Msisdn")
        amount = rules.whole(body["Amount"], "Amount")
        account = str(body["BillRefNumber"])
        self.courier.later(
            lambda: self.pay(account=account, amount=amount, phone=phone),
            delay=self.callback_delay,
        )
        return self._c2b_answer()

    def pay(self, *, account: str, amount: int, phone: str) -> dict[str, Any]:
        """Let a customer pay the paybill; return the receipt, or why M-Pesa refused."""
        wanted = Taken("UAA0000000", amount, account, phone, now())
        if self.validation_url:
            status, answer = post(
                self.validation_url,
                bodies.c2b(
                    wanted, shortcode=self.shortcode, version=self.c2b_version, balance=None
                ),
            )
            # Unreachable: the registered answer, Completed, lets the payment through.
            if status == 200 and str(answer.get("ResultCode")).strip("0") != "":
                return {"accepted": False, "answer": answer}
        taken = self.books.take(phone=phone, amount=amount, account=account)
        self._confirm(taken)
        return {"accepted": True, "receipt": taken.receipt}

    def _confirm(self, taken: Taken) -> None:
        if self.confirmation_url:
            balance = self.books.balances()["Utility Account"]
            self.deliver(
                self.confirmation_url,
                bodies.c2b(
                    taken, shortcode=self.shortcode, version=self.c2b_version, balance=balance
                ),
            )

    def _c2b_answer(self) -> dict[str, Any]:
        return {
            "OriginatorCoversationID": f"{self.books.new_id()}-1",
            "ResponseCode": "0",
            "ResponseDescription": "Accept the service request successfully.",
        }


class Handler(BaseHTTPRequestHandler):
    """Finds the path, checks the token, and answers JSON."""

    protocol_version = "HTTP/1.1"

    def __init__(self, daraja: Simulator, *args, **kwargs) -> None:
        self.daraja = daraja
        super().__init__(*args, **kwargs)

    def do_GET(self) -> None:
        self._answer(self._get)

    def do_POST(self) -> None:
        self._answer(self._post)

    def _answer(self, work) -> None:
        try:
            status, body = 200, work(urlsplit(self.path).path)
        except Turned as turned:
            status = turned.status
            body = {
                "requestId": self.daraja.books.new_id(),
                "errorCode": turned.code,
                "errorMessage": turned.message,
            }
        except Page:
            status, body = 500, PAGE
        except HungUp:
            self.close_connection = True
            return
        content = body.encode() if isinstance(body, str) else json.dumps(body).encode()
        self.send_response(status)
        kind = "text/html" if isinstance(body, str) else "application/json"
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _get(self, path: str) -> dict[str, Any]:
        if path == "/oauth/v1/generate":
            return self._token()
        if path == "/_control/faults":
            return self.daraja.faults.told()
        if path == "/_control/sent":
            return {
                "sent": [
                    {
                        "receipt": taken.receipt,
                        "amount": taken.amount,
                        "account": taken.account,
                        "phone": taken.phone,
                        "at": taken.at.isoformat(),
                        "checkout_id": taken.checkout_id,
                        "kept": taken.receipt not in self.daraja.books.sent_back,
                    }
                    for taken in self.daraja.took
                ]
            }
        if path == "/_control/paid":
            return {"paid": [payouts.shown(paid) for paid in self.daraja.paid.asked.values()]}
        raise Turned(404, "404.001.01", "Resource not found")

    def _token(self) -> dict[str, str]:
        asked = parse_qs(urlsplit(self.path).query)
        if asked.get("grant_type") != ["client_credentials"]:
            raise Turned(400, "400.008.02", "Invalid grant type passed")
        if self.headers.get("Authorization") != f"Basic {self.daraja.basic}":
            raise Turned(400, "400.008.01", "Invalid Authentication passed")
        return {"access_token": self.daraja.books.new_token(), "expires_in": "3599"}

    def _post(self, path: str) -> dict[str, Any]:
        body = self._body()
        if path == "/_control/pay":
            return self.daraja.pay(
                account=str(body.get("account", "")),
                amount=rules.whole(body.get("amount"), "amount"),
                phone=rules.phone(body.get("phone"), "phone"),
            )
        daraja = self.daraja
        if path == "/_control/next":
            if body.get("answer") not in bodies.ANSWERS:
                raise invalid("answer")
            daraja.next_answers.append(body["answer"])
            return {"next": daraja.next_answers}
        if path == "/_control/faults":
            try:
                daraja.faults.set(**body)
            except (TypeError, ValueError):
                raise invalid("faults") from None
            return daraja.faults.told()
        doors = {
            "/mpesa/stkpush/v1/processrequest": daraja.stk_push,
            "/mpesa/stkpushquery/v1/query": daraja.stk_query,
            "/mpesa/accountbalance/v1/query": daraja.account_balance,
            "/mpesa/transactionstatus/v1/query": daraja.transaction_status,
            "/mpesa/c2b/v1/registerurl": partial(daraja.register_urls, version=1),
            "/mpesa/c2b/v2/registerurl": partial(daraja.register_urls, version=2),
            "/mpesa/b2c/v1/paymentrequest": partial(payouts.take, daraja, version=1),
            "/mpesa/b2c/v3/paymentrequest": partial(payouts.take, daraja, version=3),
            "/mpesa/c2b/v1/simulate": daraja.simulate,
            "/mpesa/c2b/v2/simulate": daraja.simulate,
            reversals.PATH: partial(reversals.reverse, daraja),
            **pulls.doors(daraja),
        }
        if path not in doors:
            raise Turned(404, "404.001.01", "Resource not found")
        scheme, _, token = self.headers.get("Authorization", "").partition(" ")
        if scheme != "Bearer" or not daraja.books.is_token(token):
            raise Turned(404, "404.001.03", "Invalid Access Token")
        if self.headers.get_content_type() != "application/json":
            raise invalid("BusinessShortCode")
        with daraja.faults.at_the_door(page=Page):
            return doors[path](body)

    def _body(self) -> dict[str, Any]:
        """Return the JSON object posted; the connection closes when it was too long to read."""
        length = self.headers.get("Content-Length", "")
        if not length.isdigit() or int(length) > LARGEST_BODY:
            self.close_connection = True
            raise Turned(400, "400.002.05", "Invalid Request Payload")
        try:
            body = json.loads(self.rfile.read(int(length)))
        except (ValueError, RecursionError):
            body = None
        if not isinstance(body, dict):
            raise Turned(400, "400.002.05", "Invalid Request Payload")
        return body

    def log_message(self, *args) -> None:
        """Keep quiet: the lender's own log tells what was asked."""
