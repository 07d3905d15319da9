"""Who stays logged in: whoever works. A page that asks by itself keeps nobody logged in."""

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse

from lms import dates

SECONDS = 60
WORKED_AT = "worked_at"


class StayLoggedIn:
    """Prolongs the session of a person who opens or sends a page, at most once a minute.

    A session saved with every request would write for every page and poll of everybody, which
    on SQLite means waiting in line behind an import.
    """

    def __init__(self, get_response: Callable) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        by_itself = request.method == "GET" and request.headers.get("HX-Request")
        if not by_itself and "_auth_user_id" in request.session:
            now = int(dates.now().timestamp())
            if now - request.session.get(WORKED_AT, 0) >= SECONDS:
                request.session[WORKED_AT] = now
        return self.get_response(request)
