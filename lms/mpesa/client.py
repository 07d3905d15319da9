"""The only lines that speak HTTP to Daraja.

A request that moves money is sent once. What became of it is accepted, rejected or unknown; an
unknown one is asked about later and never sent again.
"""

import base64
import json
import logging
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any
from urllib.parse import urlsplit

import requests
from django.conf import settings
from requests.auth import AuthBase, HTTPBasicAuth
from urllib3.exceptions import ConnectTimeoutError, MaxRetryError, NewConnectionError

from lms.dates import EAT
from lms.errors import Refused
from lms.mpesa import credentials, exchanges, tokens
from lms.mpesa.callbacks import MalformedCallback, clean, is_success, read_object
from lms.mpesa.models import DarajaRequest
from lms.mpesa.tokens import TokenUnavailable

log = logging.getLogger(__name__)

PHONE = re.compile(r"254[17][0-9]{8}")
ACCOUNT = re.compile(r"[A-Za-z0-9-]{1,12}")
DESCRIPTION = re.compile(r"[A-Za-z0-9-](?:[A-Za-z0-9 -]{0,11}[A-Za-z0-9-])?")
SMALLEST, LARGEST = 1, 250_000  # KES in one STK push
# Safaricom refuses callback addresses that contain one of these words, in any letter case.
BANNED_WORDS = ("mpesa", "m-pesa", "safaricom", "exe", "cmd", "sql", "query")
TOKEN_TIMEOUT = 10  # seconds
TOKEN_LIFE = 3600  # seconds, where the answer does not say
NOT_SENT = "not-sent"

TOKEN_ERRORS = frozenset({"400.003.01", "401.002.01", "404.001.03", "401.001"})
# Answers with HTTP 5xx that still prove that nothing was begun.
REFUSED_BEFORE_WORK = frozenset({"500.001.1001", "500.003.02", "500.003.03", "00.002.1001"})
# Pull says how it went in a code of its own, under one of these names.
PULL_CODES = ("ResponseStatus", "Response Status", "ResponseCode", "Response Code")
PULL_MESSAGES = ("ResponseDescription", "Response Description", "ResponseMessage")
PULL_ACCEPTS = frozenset({"1000", "1001"})
SANDBOX = "sandbox.safaricom.co.ke"
REGISTERED_BEFORE = ("already registered", "duplicate notification")
Kind = DarajaRequest.Kind
# What may stand in a log: no password, no callback address, no phone.
LOGGED = (
    "Amount", "AccountReference", "TransactionDesc", "TransactionID", "MerchantRequestID",
    "StartDate", "EndDate", "OffSetValue", "ResponseCode", "ResponseStatus",
    "ResponseDescription", "ResultCode", "ResultDesc", "requestId", "errorCode", "errorMessage",
)  # fmt: skip


class State(StrEnum):
    ACCEPTED = "accepted"
    REJECTED = "rejected"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Outcome:
    """What became of one request.

    Accepted: Daraja took it (which never means paid). Rejected: it certainly did not, or it was
    not sent at all (code "not-sent"). Unknown: it may or may not have.
    """

    state: State
    code: str = ""
    message: str = ""
    answer: dict[str, Any] = field(default_factory=dict, repr=False)

    @property
    def is_token_error(self) -> bool:
        """Tell whether the token was refused, by an API or by the gateway in front of it."""
        return self.state == State.REJECTED and self.code in (*TOKEN_ERRORS, "HTTP 401")

    @property
    def is_pending(self) -> bool:
        """Tell whether the answer to a query says that the customer has not decided yet."""
        if self.state == State.ACCEPTED:
            return str(self.answer.get("ResultCode")) == "4999"
        return self.code == "500.001.1001" and "being processed" in self.message.lower()


class Bearer(AuthBase):
    """The access token as a header that no .netrc on the machine can replace."""

    def __init__(self, token: str) -> None:
        self.token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self.token}"
        return request


def whole_shillings(amount: Decimal) -> int:
    """Return an amount in KES as the whole number that Daraja takes.

    Raises Refused for cents and outside KES 1 to 250,000.
    """
    if not amount.is_finite() or amount != int(amount):
        raise Refused("M-Pesa takes whole shillings only.", field="amount")
    if not SMALLEST <= amount <= LARGEST:
        raise Refused("M-Pesa takes KES 1 to KES 250,000 at a time.", field="amount")
    return int(amount)


def check_push(
    *, phone: str, amount: Decimal, account: str, description: str, callback_url: str
) -> None:
    """Raise Refused, naming the field, for what Safaricom would not take."""
    whole_shillings(amount)
    if not PHONE.fullmatch(phone):
        raise Refused("The phone is not a Safaricom number like 254712345678.", field="phone")
    if not ACCOUNT.fullmatch(account):
        raise Refused("The account is 1 to 12 letters, digits or dashes.", field="account")
    if not DESCRIPTION.fullmatch(description):
        raise Refused("The description is 1 to 13 letters and digits.", field="description")
    check_callback_url(callback_url)


def check_callback_url(callback_url: str) -> None:
    """Raise Refused for an address that Safaricom would not post to."""
    parts = urlsplit(callback_url)
    address = f"{parts.netloc}{parts.path}".lower()
    if parts.scheme not in ("http", "https") or not parts.netloc or " " in callback_url:
        raise Refused("The callback address is not a web address: see DARAJA_CALLBACK_BASE.")
    for word in BANNED_WORDS:
        if word in address:
            raise Refused(f"Safaricom refuses callback addresses with “{word}” in them.")


Reader = Callable[[requests.Response], Outcome]


class Daraja:
    """One paybill's door to Daraja. Base address, keys and timeouts come from the settings.

    `by` and `about` (a number of ours, a receipt) stand beside each request in its log.
    """

    def __init__(self, *, by=None, about: str = "") -> None:
        self.by = by
        self.about = about
        self.url = settings.DARAJA_URL.rstrip("/")
        self.key = settings.DARAJA_CONSUMER_KEY
        self.shortcode = str(settings.DARAJA_SHORTCODE)
        self.timeout = (settings.DARAJA_CONNECT_TIMEOUT, settings.DARAJA_TIMEOUT)

    def stk_push(
        self,
        *,
        phone: str,
        amount: Decimal,
        account: str,
        description: str,
        callback_url: str,
        at: datetime,
    ) -> Outcome:
        """Ask a customer's phone for a payment of `amount` whole KES to the paybill.

        Sent once; sent again only after Daraja refused an expired token, when nothing was begun.
        Raises Refused for values that Safaricom would not take. Source: Daraja, M-Pesa Express.
        """
        check_push(
            phone=phone,
            amount=amount,
            account=account,
            description=description,
            callback_url=callback_url,
        )
        outcome = self._post(
            Kind.STK_PUSH,
            "/mpesa/stkpush/v1/processrequest",
            {
                **self._signature(at),
                "TransactionType": "CustomerPayBillOnline",
                "Amount": whole_shillings(amount),
                "PartyA": phone,
                "PartyB": self.shortcode,
                "PhoneNumber": phone,
                "CallBackURL": callback_url,
                "AccountReference": account,
                "TransactionDesc": description,
            },
        )
        if outcome.state == State.ACCEPTED and not outcome.answer.get("CheckoutRequestID"):
            return Outcome(State.UNKNOWN, "no-id", "Accepted without a CheckoutRequestID.")
        return outcome

    def stk_query(self, checkout_request_id: str, *, at: datetime) -> Outcome:
        """Ask what became of a push. An accepted answer carries ResultCode as text."""
        return self._post(
            Kind.STK_QUERY,
            "/mpesa/stkpushquery/v1/query",
            {**self._signature(at), "CheckoutRequestID": checkout_request_id},
        )

    def account_balance(self, *, shortcode: str, result_url: str, timeout_url: str) -> Outcome:
        """Ask for the balances of a shortcode's accounts; the result comes to `result_url`.

        Raises Refused for addresses that Safaricom would not post to, and while no initiator is
        set up. Source: Daraja, Account Balance.
        """
        return self._ask(
            Kind.BALANCE,
            "/mpesa/accountbalance/v1/query",
            {"CommandID": "AccountBalance", "Remarks": "Balance", **_about(shortcode)},
            result_url=result_url,
            timeout_url=timeout_url,
        )

    def transaction_status(
        self,
        receipt: str = "",
        *,
        shortcode: str,
        result_url: str,
        timeout_url: str,
        originator_id: str = "",
    ) -> Outcome:
        """Ask what became of the payment with a receipt; the result comes to `result_url`.

        A payment whose receipt nobody knows is named by the `originator_id` of its request.
        Raises as `account_balance`. Source: Daraja, Transaction Status.
        """
        named = {"TransactionID": receipt} if receipt else {"OriginalConversationID": originator_id}
        return self._ask(
            Kind.STATUS,
            "/mpesa/transactionstatus/v1/query",
            {
                "CommandID": "TransactionStatusQuery",
                **named,
                "Remarks": "Status",
                "Occasion": "Status",
                **_about(shortcode),
            },
            result_url=result_url,
            timeout_url=timeout_url,
        )

    def pay_customer(
        self, *, originator_id: str, phone: str, amount: Decimal, result_url: str, timeout_url: str
    ) -> Outcome:
        """Pay `amount` whole KES to a customer's phone; what became of it comes to `result_url`.

        Sent once. `originator_id` is ours and unique: version 3 refuses to pay the same one twice.
        Whatever does not prove that nothing was begun is unknown, as is every failure inside
        Safaricom. Raises Refused for what it would not take, and while no initiator is set up.
        Source: Daraja, Business to Customer.
        """
        if not PHONE.fullmatch(phone):
            raise Refused("The phone is not a Safaricom number like 254712345678.", field="phone")
        for url in (result_url, timeout_url):
            check_callback_url(url)
        payload = {
            "OriginatorConversationID": originator_id,
            "InitiatorName": settings.DARAJA_INITIATOR,
            "SecurityCredential": credentials.security_credential(),
            "CommandID": settings.DARAJA_B2C_COMMAND,
            "Amount": whole_shillings(amount),
            "PartyA": str(settings.DARAJA_B2C_SHORTCODE or self.shortcode),
            "PartyB": phone,
            "Remarks": "Payout",
            "QueueTimeOutURL": timeout_url,
            "ResultURL": result_url,
            "Occassion": "Payout",
        }
        version = settings.DARAJA_B2C_VERSION
        if version == "v1":
            del payload["OriginatorConversationID"]
        outcome = self._post(Kind.B2C, f"/mpesa/b2c/{version}/paymentrequest", payload)
        if outcome.state == State.ACCEPTED and not outcome.answer.get("ConversationID"):
            return Outcome(State.UNKNOWN, "no-id", "Accepted without a ConversationID.")
        if outcome.state == State.REJECTED and outcome.code.startswith(("5", "00.")):
            return replace(outcome, state=State.UNKNOWN)
        return outcome

    def register_c2b(
        self, *, confirmation_url: str, validation_url: str, unreachable: str
    ) -> Outcome:
        """Tell Safaricom where to post payments to the paybill, by the C2B version of the settings.

        `unreachable` is what M-Pesa does while a validation cannot be reached: "Completed" or
        "Cancelled". Raises Refused for addresses that Safaricom would not post to. In production
        this works once; then rejected with what Safaricom says. Source: Daraja, Customer to
        Business, Register URL.
        """
        for url in (confirmation_url, validation_url):
            check_callback_url(url)
        outcome = self._post(
            Kind.REGISTER,
            f"/mpesa/c2b/{settings.DARAJA_C2B_VERSION}/registerurl",
            {
                "ShortCode": self.shortcode,
                "ResponseType": unreachable,
                "ConfirmationURL": confirmation_url,
                "ValidationURL": validation_url,
            },
        )
        if any(words in outcome.message.lower() for words in REGISTERED_BEFORE):
            return replace(outcome, state=State.REJECTED)
        return outcome

    def reversal(
        self, receipt: str, *, amount: Decimal, shortcode: str, result_url: str, timeout_url: str
    ) -> Outcome:
        """Ask for the payment with a receipt to go back to its payer, all `amount` KES of it.

        Sent once, as `stk_push`; the result comes to `result_url`. Raises Refused for cents, and
        as `account_balance`. Source: Daraja, Reversals.
        """
        outcome = self._ask(
            Kind.REVERSAL,
            "/mpesa/reversal/v1/request",
            {
                "CommandID": "TransactionReversal",
                "TransactionID": receipt,
                "Amount": whole_shillings(amount),
                "ReceiverParty": shortcode,
                "RecieverIdentifierType": "11",  # spelt as Safaricom spells it
                "Remarks": "Reversal",
                "Occasion": "Reversal",
            },
            result_url=result_url,
            timeout_url=timeout_url,
        )
        # Here this code is not known to come before any work.
        is_doubtful = outcome.state == State.REJECTED and outcome.code == "500.001.1001"
        return replace(outcome, state=State.UNKNOWN) if is_doubtful else outcome

    def pull_register(self, *, number: str, callback_url: str) -> Outcome:
        """Ask for the right to pull missed payments; once a shortcode, a repeat is accepted too.

        `number` is a phone named in the papers of the shortcode. Raises Refused for an address
        that Safaricom would not post to. Source: Daraja, Pull Transactions.
        """
        check_callback_url(callback_url)
        return self._post(
            Kind.PULL_REGISTER,
            "/pulltransactions/v1/register",
            {
                "ShortCode": self.shortcode,
                "RequestType": "Pull",
                "NominatedNumber": number,
                "CallBackURL": callback_url,
            },
            read=_outcome_of_pull,
        )

    def pull_query(self, *, since: datetime, until: datetime, offset: int) -> Outcome:
        """Ask for the payments of a window of the last 48 hours, from the row `offset` on.

        An accepted answer carries a page of at most 100 in `Response`. Asking moves no money.
        Source: Daraja, Pull Transactions.
        """
        return self._post(
            Kind.PULL,
            "/pulltransactions/v1/query",
            {
                "ShortCode": self.shortcode,
                "StartDate": f"{since.astimezone(EAT):%Y-%m-%d %H:%M:%S}",
                "EndDate": f"{until.astimezone(EAT):%Y-%m-%d %H:%M:%S}",
                "OffSetValue": str(offset),
            },
            read=_outcome_of_pull,
        )

    def simulate_c2b(self, *, phone: str, amount: Decimal, account: str) -> Outcome:
        """Let Safaricom's sandbox play a customer who pays the paybill.

        Raises Refused against any host of Safaricom but the sandbox, before anything is sent.
        Source: Daraja, Customer to Business, Simulate.
        """
        host = urlsplit(self.url).hostname or ""
        if host.endswith("safaricom.co.ke") and host != SANDBOX:
            raise Refused("Payments are simulated on the sandbox only.")
        if not PHONE.fullmatch(phone):
            raise Refused("The phone is not a Safaricom number like 254712345678.", field="phone")
        return self._post(
            Kind.SIMULATE,
            f"/mpesa/c2b/{settings.DARAJA_C2B_VERSION}/simulate",
            {
                "ShortCode": self.shortcode,
                "CommandID": "CustomerPayBillOnline",
                "Amount": whole_shillings(amount),
                "Msisdn": phone,
                "BillRefNumber": account,
            },
        )

    def _ask(
        self,
        kind: str,
        path: str,
        question: dict[str, Any],
        *,
        result_url: str,
        timeout_url: str,
    ) -> Outcome:
        """Ask what only the initiator may ask and Safaricom answers later."""
        for url in (result_url, timeout_url):
            check_callback_url(url)
        outcome = self._post(
            kind,
            path,
            {
                "Initiator": settings.DARAJA_INITIATOR,
                "SecurityCredential": credentials.security_credential(),
                "ResultURL": result_url,
                "QueueTimeOutURL": timeout_url,
                **question,
            },
        )
        if outcome.state == State.ACCEPTED and not outcome.answer.get("ConversationID"):
            return Outcome(State.UNKNOWN, "no-id", "Accepted without a ConversationID.")
        return outcome

    def _signature(self, at: datetime) -> dict[str, str]:
        timestamp = f"{at.astimezone(EAT):%Y%m%d%H%M%S}"
        secret = f"{self.shortcode}{settings.DARAJA_PASSKEY}{timestamp}".encode()
        return {
            "BusinessShortCode": self.shortcode,
            "Password": base64.b64encode(secret).decode(),
            "Timestamp": timestamp,
        }

    def _post(
        self, kind: str, path: str, payload: dict[str, Any], *, read: Reader | None = None
    ) -> Outcome:
        """Send a request; `read` makes the outcome of its answer, where that is of its own kind."""
        read = read or _outcome_of_response
        try:
            token = self._token()
            outcome = self._send(kind, path, payload, token, read)
            if outcome.is_token_error:
                outcome = self._send(kind, path, payload, self._token(stale=token), read)
        except TokenUnavailable as error:
            outcome = Outcome(State.REJECTED, NOT_SENT, f"No access token. {error}")
            self._log(kind, payload, outcome)
        log.info(
            "Daraja %s %s: %s %s %s",
            path,
            _loggable(payload),
            outcome.state,
            json.dumps([outcome.code, outcome.message]),
            _loggable(outcome.answer),
        )
        return outcome

    def _send(
        self, kind: str, path: str, payload: dict[str, Any], token: str, read: Reader
    ) -> Outcome:
        started = time.monotonic()
        try:
            response = requests.post(
                self.url + path,
                json=payload,
                auth=Bearer(token),
                timeout=self.timeout,
                allow_redirects=False,
            )
        except requests.RequestException as error:
            outcome = _outcome_of_error(error)
        else:
            outcome = read(response)
        self._log(kind, payload, outcome, started=started)
        return outcome

    def _log(
        self,
        kind: str,
        payload: dict[str, Any],
        outcome: Outcome,
        *,
        started: float | None = None,
    ) -> None:
        exchanges.record(
            kind=kind,
            by=self.by,
            about=self.about,
            outcome=outcome.state,
            code=outcome.code,
            message=outcome.message,
            seconds=0 if started is None else time.monotonic() - started,
            request=payload,
            answer=outcome.answer,
        )

    def _token(self, stale: str | None = None) -> str:
        return tokens.shared(url=self.url, key=self.key, fetch=self._fetch_token, stale=stale)

    def _fetch_token(self) -> tuple[str, int]:
        """Return a new token and its life in seconds. Raises TokenUnavailable."""
        started = time.monotonic()
        try:
            token, life = self._ask_for_token()
        except TokenUnavailable as error:
            failed = Outcome(State.REJECTED, error.code, error.message)
            self._log(Kind.TOKEN, {}, failed, started=started)
            raise
        answer = {"expires_in": life}
        self._log(Kind.TOKEN, {}, Outcome(State.ACCEPTED, answer=answer), started=started)
        return token, life

    def _ask_for_token(self) -> tuple[str, int]:
        try:
            response = requests.get(
                self.url + "/oauth/v1/generate",
                params={"grant_type": "client_credentials"},
                auth=HTTPBasicAuth(self.key, settings.DARAJA_CONSUMER_SECRET),
                timeout=(settings.DARAJA_CONNECT_TIMEOUT, TOKEN_TIMEOUT),
                allow_redirects=False,
            )
        except requests.RequestException as error:
            raise TokenUnavailable(type(error).__name__, "Daraja cannot be reached.") from None
        answer = _body(response) or {}
        token = answer.get("access_token")
        if response.status_code != requests.codes.ok or not isinstance(token, str) or not token:
            code = clean(answer.get("errorCode"), 40) or f"HTTP {response.status_code}"
            raise TokenUnavailable(code, clean(answer.get("errorMessage"), 200))
        life = clean(answer.get("expires_in"), 9)
        return token, int(life) if life.isascii() and life.isdigit() else TOKEN_LIFE


def _about(shortcode: str) -> dict[str, str]:
    return {"PartyA": shortcode, "IdentifierType": settings.DARAJA_IDENTIFIER_TYPE}


def _outcome_of_error(error: requests.RequestException) -> Outcome:
    """Tell a request that never left from one whose answer never came."""
    cause = error.args[0] if error.args else None
    reason = cause.reason if isinstance(cause, MaxRetryError) else cause
    never_left = (
        isinstance(error, requests.ConnectTimeout | ValueError)  # ValueError: not a web address
        or isinstance(reason, NewConnectionError | ConnectTimeoutError)
        or "CERTIFICATE_VERIFY_FAILED" in str(reason)
    )
    if never_left:
        return Outcome(State.REJECTED, NOT_SENT, "Daraja cannot be reached.")
    return Outcome(State.UNKNOWN, type(error).__name__, "Daraja did not answer.")


def _outcome_of_response(response: requests.Response) -> Outcome:
    answer = _body(response)
    status = response.status_code
    if answer is None or not (answer.keys() & {"errorCode", "ResponseCode"}):
        # A gateway's page. Below 500 it turned the request away; above, who knows.
        turned_away = 300 <= status < 500 and status != requests.codes.request_timeout
        state = State.REJECTED if turned_away else State.UNKNOWN
        return Outcome(state, f"HTTP {status}", "Daraja gave no readable answer.", answer or {})
    if error_code := clean(answer.get("errorCode"), 40):
        message = clean(answer.get("errorMessage"), 200)
        certain = not error_code.startswith("5") and status < 500
        state = State.REJECTED if certain or error_code in REFUSED_BEFORE_WORK else State.UNKNOWN
        return Outcome(state, error_code, message, answer)
    code = clean(answer.get("ResponseCode"), 40)
    message = clean(answer.get("ResponseDescription"), 200)
    if not response.ok:
        return Outcome(State.UNKNOWN, f"HTTP {status}", message, answer)
    if code == "":
        return Outcome(State.UNKNOWN, "no-code", message, answer)
    return Outcome(State.ACCEPTED if is_success(code) else State.REJECTED, code, message, answer)


def _outcome_of_pull(response: requests.Response) -> Outcome:
    """Return the outcome of a pull: 1000 says yes, 1001 nothing found or registered before."""
    outcome = _outcome_of_response(response)
    answer = outcome.answer
    if not response.ok or answer.get("errorCode"):
        return outcome
    code = next((clean(answer[name], 40) for name in PULL_CODES if name in answer), "")
    message = next((clean(answer[name], 200) for name in PULL_MESSAGES if name in answer), "")
    if not code:
        return outcome
    accepted = code in PULL_ACCEPTS or is_success(code)
    return Outcome(State.ACCEPTED if accepted else State.REJECTED, code, message, answer)


def _body(response: requests.Response) -> dict[str, Any] | None:
    """Return the JSON object of an answer, or None for HTML, nothing and all the rest."""
    try:
        return read_object(response.content)
    except MalformedCallback:
        return None


def _loggable(fields: dict[str, Any]) -> str:
    return json.dumps({name: str(fields[name])[:200] for name in LOGGED if name in fields})
