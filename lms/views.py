"""The public views: Daraja's callbacks, and the health check of the machines in front."""

import hmac
import json
import logging
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from django.conf import settings
from django.core.exceptions import DisallowedHost
from django.db import Error as DatabaseUnavailable
from django.db import InterfaceError, OperationalError, connection, transaction
from django.http import (
    HttpRequest,
    HttpResponse,
    HttpResponseNotAllowed,
    HttpResponseNotFound,
    JsonResponse,
    UnreadablePostError,
)
from django.urls import Resolver404, resolve
from django.views.decorators.csrf import csrf_exempt

from lms import dates, routing
from lms.mpesa import operations as mpesa
from lms.mpesa import sources
from lms.mpesa.models import Callback
from lms.patience import waiting_at_most

log = logging.getLogger(__name__)

DOOR = "daraja/"  # where Daraja posts; it refuses addresses with "mpesa" in them
LARGEST_BODY = 64 * 1024
KEPT_HEADERS = {
    "Content-Type": "CONTENT_TYPE",
    "Content-Length": "CONTENT_LENGTH",
    "User-Agent": "HTTP_USER_AGENT",
    "X-Forwarded-For": "HTTP_X_FORWARDED_FOR",
}
KINDS = frozenset(Callback.Kind.values)
ACCEPTED = json.dumps({"ResultCode": 0, "ResultDesc": "Success"}).encode()
# Seconds that a question whether a payment may be made waits for the database.
LOOKING_UP, KEEPING = 3, 1


class PastThePages:
    """Leads a callback past what only the pages of people need: sessions, messages, history.

    Daraja waits for its answer, and nothing that those do concerns it.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if not request.path_info.startswith(f"/{DOOR}"):
            return self.get_response(request)
        response = self._lead(request)
        response.headers["Content-Length"] = str(len(response.content))
        response._has_been_logged = True  # noqa: SLF001 - Django's log line would quote the secret
        return response

    def _lead(self, request: HttpRequest) -> HttpResponse:
        try:
            request.get_host()
            view, positional, named = resolve(request.path_info)
        except Resolver404:
            return HttpResponseNotFound()
        except DisallowedHost:
            log.warning("A callback came to a host that ALLOWED_HOSTS does not name.")
            return HttpResponseNotFound()
        return view(request, *positional, **named)


@csrf_exempt
def daraja_callback(request: HttpRequest, secret: str, kind: str) -> HttpResponse:
    """Store what Daraja posts, and answer as Daraja expects.

    The row is committed before the answer, so an answered callback is never lost; it stands in
    line for `manage.py apply_callbacks`. A validation is answered on the spot. 404 for a wrong
    secret or kind, 503 when storing failed, which asks for the callback to be sent again.
    """
    if not _is_ours(request, secret) or kind not in KINDS:
        return HttpResponseNotFound()
    if request.method != "POST":
        return HttpResponseNotAllowed(["POST"])
    try:
        body = _read(request)
    except UnreadablePostError:
        return _answer("The body could not be read.", HTTPStatus.BAD_REQUEST)
    if len(body) > LARGEST_BODY:
        log.warning("A callback of kind %s was larger than %s bytes.", kind, LARGEST_BODY)
        return _answer("The body is too large.", HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
    try:
        if kind == Callback.Kind.VALIDATION:
            return JsonResponse(_validate(request, body))
        _store_at_once(request, kind, body)
        return HttpResponse(ACCEPTED, content_type="application/json")
    except DatabaseUnavailable:
        log.exception("A callback of kind %s could not be stored.", kind)
        return _answer("Try again later.", HTTPStatus.SERVICE_UNAVAILABLE)


def healthz(request: HttpRequest) -> HttpResponse:
    """Answer 200 while the database answers, 503 while it does not."""
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except DatabaseUnavailable:
        return HttpResponse(
            "database unavailable",
            content_type="text/plain",
            status=HTTPStatus.SERVICE_UNAVAILABLE,
        )
    return HttpResponse("ok", content_type="text/plain")


def _is_ours(request: HttpRequest, secret: str) -> bool:
    """Tell whether the address is the one that only Safaricom was told, and called from there."""
    if settings.DARAJA_SOURCES and not sources.is_among(_sender(request), settings.DARAJA_SOURCES):
        log.warning("A callback came from %s, which is not Safaricom's.", _sender(request))
        return False
    ours = settings.DARAJA_CALLBACK_SECRET
    if ours and hmac.compare_digest(secret.encode(), ours.encode()):
        return True
    log.warning("A callback with a wrong secret came from %s.", _sender(request))
    return False


def _validate(request: HttpRequest, body: bytes) -> dict[str, Any]:
    """Answer whether a payment may be made, and keep the question with its answer.

    Safaricom waits 8 seconds. A database that takes too long to look the account up fails the
    request: then the payment goes on or not as the paybill was registered. One that only takes too
    long to write does not: no money has moved, so a question that is not kept is no loss.
    """
    with waiting_at_most(LOOKING_UP):
        answer = mpesa.validate(body, knows_account=routing.knows_account)
    try:
        with waiting_at_most(KEEPING), transaction.atomic():
            key = _store(request, Callback.Kind.VALIDATION, body)
            mpesa.record_answer(key, answer, at=dates.now())
    except DatabaseUnavailable:
        log.exception("A validation was answered %s but not kept.", answer["ResultCode"])
    return answer


def _store_at_once(request: HttpRequest, kind: str, body: bytes) -> None:
    """Store a callback by one statement to the database, and no other.

    Django asks a connection first whether it still stands. Here the statement finds that out, and
    is said once more on a new one: a callback that is stored twice is still one payment.
    """
    connection.health_check_done = True
    try:
        _store(request, kind, body)
    except (InterfaceError, OperationalError):
        if connection.is_usable():
            raise
        connection.close()
        _store(request, kind, body)


def _store(request: HttpRequest, kind: str, body: bytes) -> int:
    """Store a callback, return its key. News of money waits as long as the database takes."""
    return mpesa.record_callback(
        kind=kind,
        body=body,
        headers={
            name: "".join(filter(str.isprintable, request.META[key]))[:200]
            for name, key in KEPT_HEADERS.items()
            if request.META.get(key)
        },
        remote_addr=_sender(request),
        at=dates.now(),
    )


def _read(request: HttpRequest) -> bytes:
    """Return the body, or one byte more than is allowed when it is too large.

    Django takes a body without Content-Length for an empty one; a server that ends chunked
    bodies itself is read directly.
    """
    if request.META.get("CONTENT_LENGTH") or not request.META.get("wsgi.input_terminated"):
        return request.read(LARGEST_BODY + 1)
    try:
        return request.META["wsgi.input"].read(LARGEST_BODY + 1)
    except OSError as error:
        raise UnreadablePostError(*error.args) from error


def _sender(request: HttpRequest) -> str | None:
    """Return the address that the request came from, or None where nobody knows it."""
    return sources.sender_of(
        request.META.get("REMOTE_ADDR", ""),
        request.META.get("HTTP_X_FORWARDED_FOR", ""),
        proxies=settings.TRUSTED_PROXIES,
    )


def _answer(sentence: str, status: HTTPStatus) -> JsonResponse:
    return JsonResponse({"ResultCode": 1, "ResultDesc": sentence}, status=status)
