"""Messages in the office: templates with a preview, the outbox, what is sent again or not."""

from datetime import datetime
from decimal import Decimal

import pytest
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME

from lms import dates
from lms.notifications import operations
from lms.notifications.models import SAMPLES, Message, MessageTemplate
from tests import factories
from tests.backoffice.pages import MOST_QUERIES, answer, ask, queries_of, url_of, went_through

TEMPLATE = "notifications.messagetemplate"
OUTBOX = "notifications.message"
NOON = datetime(2026, 2, 15, 12, tzinfo=dates.EAT)


@pytest.fixture(autouse=True)
def _now(monkeypatch):
    monkeypatch.setattr(dates, "now", lambda: NOON)


@pytest.fixture
def manager(as_staff, kamau):
    return as_staff(kamau)


@pytest.fixture
def sms(db):
    return MessageTemplate.objects.get(occasion="overdue", channel="sms")


def tell(response) -> str:
    return response.content.decode()


def chosen(verb: str, *rows) -> dict:
    """What the outbox posts for a bulk action on some messages."""
    return {"action": verb, ACTION_CHECKBOX_NAME: [row.pk for row in rows]}


def said(reason: str) -> dict:
    return {"answered": "1", "_form_submitted": "True", "reason": reason}


def queued(customer=None, about: str = "LN000001 instalment 3", key: str = "one") -> Message:
    return operations.enqueue(
        customer or factories.wanjiku(),
        occasion="overdue",
        channel="sms",
        values=SAMPLES["overdue"],
        key=key,
        about=about,
        now=NOON,
    )


def failed(**where) -> Message:
    message = queued(**where)
    message.status, message.error = Message.Status.FAILED, "The gateway refused it."
    message.save()
    return message


# --- Templates -----------------------------------------------------------------------------------
def test_the_preview_counts_what_is_typed_and_saves_nothing(manager, sms):
    stored = sms.body

    page = tell(manager.post(url_of(TEMPLATE, "preview_of", sms.pk), {"body": "Hello {customer}"}))

    assert "Hello Wanjiku" in page
    assert "13 characters, 1 SMS, GSM-7; 147 more fit." in page
    sms.refresh_from_db()
    assert sms.body == stored


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        ("Habari 🙂", "cannot be sent as plain SMS text"),
        ("x" * 161, "161 characters, 2 SMS parts, GSM-7; 145 more fit."),
        ("Wanjikũ’s", "accents are sent as plain letters"),
        ("Dear {name}", "There is no placeholder {name} here."),
        ("<script>alert(1)</script>", "&lt;script&gt;alert(1)"),
    ],
)
def test_the_preview_tells_what_a_text_costs_and_what_is_wrong(manager, sms, body, sentence):
    page = tell(manager.post(url_of(TEMPLATE, "preview_of", sms.pk), {"body": body}))

    assert sentence in page
    assert "{loan}" in page


def test_a_new_template_is_previewed_once_its_occasion_is_chosen(as_staff, db):
    client = as_staff(factories.staff("mkubwa", "Administrator"))

    empty = tell(client.post(url_of(TEMPLATE, "preview"), {"body": "x"}))
    mail = tell(
        client.post(
            url_of(TEMPLATE, "preview"),
            {"occasion": "overdue", "channel": "email", "subject": "Loan {loan}", "body": "x"},
        )
    )

    assert "Choose the occasion and the channel" in empty
    assert "Loan LN000123" in mail
    assert "characters" not in mail


def test_a_manager_changes_the_words_and_history_keeps_who(manager, kamau, sms):
    response = manager.post(
        url_of(TEMPLATE, "change", sms.pk), {"body": "Pay {amount}, {customer}", "is_active": "on"}
    )

    sms.refresh_from_db()
    assert response.status_code == 302
    assert (sms.occasion, sms.body) == ("overdue", "Pay {amount}, {customer}")
    assert sms.history.first().history_user == kamau


def test_words_that_cannot_be_sent_are_refused(manager, sms):
    response = manager.post(url_of(TEMPLATE, "change", sms.pk), {"body": "Dear {name}"})

    assert "There is no placeholder {name} here." in tell(response)
    assert "{name}" not in MessageTemplate.objects.get(pk=sms.pk).body


def test_who_may_only_look_sees_the_preview_and_changes_nothing(as_staff, njeri, sms):
    client = as_staff(njeri)
    page = tell(client.get(url_of(TEMPLATE, "change", sms.pk)))

    assert url_of(TEMPLATE, "preview_of", sms.pk) in page
    assert client.post(url_of(TEMPLATE, "preview_of", sms.pk)).status_code == 200
    assert client.post(url_of(TEMPLATE, "change", sms.pk), {"body": "x"}).status_code == 403
    cashier = as_staff(factories.mutua())
    assert cashier.post(url_of(TEMPLATE, "preview_of", sms.pk)).status_code == 403


# --- The outbox ----------------------------------------------------------------------------------
def test_asking_changes_nothing(manager):
    message, other = queued(), failed(key="two")

    for verb in ("resend", "cancel"):
        for row in (message, other):
            assert ask(manager, OUTBOX, verb, row.pk).status_code == 200

    assert Message.objects.count() == 2


def test_a_failed_message_is_sent_again_once(manager, kamau):
    message = failed()

    assert "This field is required" in tell(answer(manager, OUTBOX, "resend", message.pk))
    assert went_through(answer(manager, OUTBOX, "resend", message.pk, reason="She asked"))
    again = answer(manager, OUTBOX, "resend", message.pk, reason="She asked")

    assert "sent again already" in tell(again)
    new = Message.objects.get(again_of=message)
    assert (new.status, new.history.get().history_user) == ("queued", kamau)


def test_a_queued_message_is_cancelled_with_its_reason(manager):
    message = queued()

    assert went_through(answer(manager, OUTBOX, "cancel", message.pk, reason="Paid in cash"))

    message.refresh_from_db()
    assert (message.status, message.error) == ("cancelled", "Paid in cash")
    assert "so it cannot become cancelled" in tell(
        answer(manager, OUTBOX, "cancel", message.pk, reason="x")
    )


def test_only_what_fits_the_message_is_offered(manager):
    waiting, broken = queued(), failed(key="two")

    page = tell(manager.get(url_of(OUTBOX, "change", waiting.pk)))
    assert url_of(OUTBOX, "cancel", waiting.pk) in page
    assert url_of(OUTBOX, "resend", waiting.pk) not in page
    page = tell(manager.get(url_of(OUTBOX, "change", broken.pk)))
    assert url_of(OUTBOX, "cancel", broken.pk) not in page
    assert url_of(OUTBOX, "resend", broken.pk) in page


def test_many_are_sent_again_together_or_not_at_all(manager):
    first, second = failed(), failed(key="two")
    asked = chosen("resend_chosen", first, second)
    url = url_of(OUTBOX, "changelist")

    assert "2 messages" in tell(manager.post(url, asked))
    assert Message.objects.queued().count() == 0
    manager.post(url, {**asked, **said("Gateway was down")})
    assert Message.objects.queued().count() == 2

    asked = chosen("resend_chosen", first, failed(key="three"))
    assert "sent again already" in tell(manager.post(url, {**asked, **said("Once more")}))
    assert Message.objects.queued().count() == 2


def test_many_are_cancelled_together(manager):
    asked = chosen("cancel_chosen", queued(), queued(key="two"))

    manager.post(url_of(OUTBOX, "changelist"), {**asked, **said("Wrong template")})

    assert set(Message.objects.values_list("status", flat=True)) == {"cancelled"}


def test_who_may_not_is_not_offered_it_and_refused_when_forged(as_staff, achieng):
    message = queued()
    client = as_staff(achieng)

    page = tell(client.get(url_of(OUTBOX, "change", message.pk)))
    assert url_of(OUTBOX, "cancel", message.pk) not in page
    for verb in ("cancel", "resend"):
        assert answer(client, OUTBOX, verb, message.pk, reason="x").status_code == 403
    forged = {**chosen("cancel_chosen", message), **said("x")}
    client.post(url_of(OUTBOX, "changelist"), forged)
    assert client.get(url_of(OUTBOX, "add")).status_code == 403
    message.refresh_from_db()
    assert message.status == "queued"


@pytest.mark.parametrize("term", ["0712 345 678", "LN000001", "ln1", "12345678", "wanjiku"])
def test_a_message_is_found_by_phone_loan_or_customer(manager, term):
    queued()
    queued(customer=factories.otieno(), about="LN0000011 instalment 1", key="two")

    page = tell(manager.get(url_of(OUTBOX, "changelist"), {"q": term}))

    assert "0712 345 678" in page
    assert "0722 000 111" not in page


def test_the_totals_are_of_the_whole_filter(manager):
    message = failed()
    message.cost = Decimal("0.8000")
    message.save()
    queued(key="two")

    page = tell(manager.get(url_of(OUTBOX, "totals"), {"status__exact": "failed"}))

    assert '<dd class="text-important whitespace-nowrap">1</dd>' in page
    assert "KES 0.80" in page
    everything = tell(manager.get(url_of(OUTBOX, "totals")))
    assert ("Queued" in everything, "Failed" in everything, "Sent" in everything) == (1, 1, 0)


def test_another_branch_sees_none_of_it(as_staff, db):
    message = queued()
    there = factories.staff("akinyi", "Manager", branch=factories.branch("KSM", "Kisumu"))
    client = as_staff(there)

    assert client.get(url_of(OUTBOX, "change", message.pk)).status_code == 302
    assert answer(client, OUTBOX, "cancel", message.pk, reason="x").status_code == 404


def test_lists_take_the_same_queries_for_one_row_and_for_three(manager, sms):
    queued()
    one = queries_of(manager, url_of(OUTBOX, "changelist"))
    last = queued(key="two")
    queued(key="three")

    assert queries_of(manager, url_of(OUTBOX, "changelist")) == one <= MOST_QUERIES
    assert queries_of(manager, url_of(OUTBOX, "change", last.pk)) <= MOST_QUERIES
    assert queries_of(manager, url_of(TEMPLATE, "changelist")) <= MOST_QUERIES
    assert queries_of(manager, url_of(TEMPLATE, "change", sms.pk)) <= MOST_QUERIES
