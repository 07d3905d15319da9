"""What every test of a page does: ask a dialog, answer it, count the queries of a page."""

from django.core.cache import cache
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

MOST_QUERIES = 30


def url_of(model: str, page: str, *args) -> str:
    """`url_of("loans.loan", "approve", 3)` is the address of that action."""
    app, _, name = model.partition(".")
    return reverse(f"admin:{app}_{name}_{page}", args=args)


def ask(client, model: str, verb: str, pk: int):
    """Open a dialog."""
    return client.get(url_of(model, verb, pk))


def answer(client, model: str, verb: str, pk: int, **answers):
    """Send a dialog."""
    return client.post(url_of(model, verb, pk), {"_form_submitted": "on", **answers})


def went_through(response) -> bool:
    return response.status_code == 200 and "HX-Redirect" in response.headers


def queries_of(client, url: str) -> int:
    """Return how many queries a page takes, with nothing kept from pages before."""
    client.get(url)
    cache.clear()
    with CaptureQueriesContext(connection) as made:
        response = client.get(url)
        assert response.status_code == 200, response.status_code
    return len(made)
