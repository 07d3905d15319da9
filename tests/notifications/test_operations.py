import json
from datetime import time, timedelta
from decimal import Decimal
from threading import Barrier, Thread
from time import sleep

import pytest
from django.core import mail
from django.core.exceptions import ImproperlyConfigured
from django.db import IntegrityError, OperationalError, connection, transaction

from lms import dates
from lms.errors import Refused
from lms.notifications import client, operations
from lms.notifications.models import SAMPLES, Message, MessageTemplate
from lms.notifications.operations import Delivery, Draft
from tests import factories
from tests.notifications.conftest import TEN, answer, fate, reminder

pytestmark = pytest.mark.django_db
NIGHT = dates.instant(dates.day_of("2026-03-02"), time(22))
MORNING = dates.instant(dates.day_of("2026-03-03"), time(8))
MINUTE = timedelta(minutes=1)


@pytest.fixture
def kamau(db):
    """The manager. What he may do is the business of the pages, not of this room."""
    return factories.staff("kamau")


class PowerCut(BaseException):
    """The process dies: nothing after this line runs."""


def draft(number: int = 1, customer=None, **fields) -> Draft:
    return Draft(
        **{
            "customer": customer or factories.wanjiku(),
            "occasion": "overdue",
            "values": SAMPLES["overdue"],
            "key": f"overdue:repayment:{number}:7",
            "about": f"LN000123 instalment {number}",
            "channel": "sms",
            **fields,
        }
    )


# --- Queueing ------------------------------------------------------------------------------------
def test_a_message_is_put_into_words_when_it_is_queued():
    message = reminder()

    assert message.key == "overdue:repayment:12:7:sms"
    assert message.recipient == "254712345678"
    assert message.body == (
        "Dear Wanjiku, KES 4,500.00 on loan LN000123 is 3 days late. Please pay by M-Pesa "
        "paybill 174379, account LN000123, or call us. Pesa Kwanza Credit"
    )
    assert (message.status, message.parts, message.attempts) == ("queued", 1, 0)
    assert message.not_before == TEN
    assert list(message.history.values_list("history_type", "status")) == [("+", "queued")]


def test_the_same_event_is_told_once():
    first = reminder()

    assert reminder() is None
    assert list(Message.objects.all()) == [first]
    assert Message.history.count() == 1


def test_sms_and_email_of_one_event_are_two_messages():
    customer = factories.customer(email="wanjiku@example.com")

    reminder(customer)
    letter = reminder(customer, channel="email")

    assert letter.key == "overdue:repayment:12:7:email"
    assert (letter.recipient, letter.subject, letter.parts) == (
        "wanjiku@example.com",
        "Loan LN000123: KES 4,500.00 is 3 days late",
        0,
    )


def test_who_has_no_email_gets_none():
    assert reminder(channel="email") is None
    assert Message.objects.count() == 0


def test_a_template_switched_off_sends_nothing():
    MessageTemplate.objects.filter(occasion="overdue", channel="sms").update(is_active=False)

    assert reminder() is None
    assert Message.objects.count() == 0


def test_who_opted_out_gets_a_cancelled_message_that_says_so():
    message = reminder(factories.customer(takes_messages=False))

    assert fate(message) == ("cancelled", 0, "The customer opted out of messages.")


def test_a_reminder_queued_at_night_waits_for_the_morning_and_a_receipt_does_not():
    assert reminder(now=NIGHT).not_before == MORNING
    assert reminder(now=NIGHT, occasion="payment_received", key="receipt").not_before == NIGHT


def test_a_template_that_no_longer_renders_is_refused_by_name():
    MessageTemplate.objects.filter(occasion="overdue", channel="sms").update(body="{nobody}")

    with pytest.raises(Refused, match=r"The template “Instalment overdue, SMS” cannot be used\."):
        reminder()


def test_a_caller_that_forgets_a_value_is_told_before_any_template_needs_it():
    with pytest.raises(ValueError, match=r"overdue needs a value for days, due_date\."):
        operations.enqueue_many(
            [draft(values={"loan": "LN000123", "amount": "1.00", "instalment": "1"})], now=TEN
        )


def test_many_are_queued_with_history_and_only_the_new_ones_are_counted():
    reminder(key="overdue:repayment:700:7")
    drafts = [draft(number) for number in range(1, 1201)]

    assert operations.enqueue_many(iter(drafts), now=TEN) == 1199
    assert operations.enqueue_many(drafts, now=TEN) == 0
    assert (Message.objects.count(), Message.history.count()) == (1200, 1200)


def test_a_draft_repeated_in_one_call_counts_once():
    assert operations.enqueue_many([draft(1), draft(1)], now=TEN) == 1


def test_a_draft_without_a_channel_goes_out_over_every_one_the_customer_has():
    both = factories.customer("Otieno Ouma", "254722000111", email="otieno@example.com")

    new = operations.enqueue_many(
        [draft(1, channel=""), draft(2, customer=both, channel="")], now=TEN
    )

    assert new == 3
    assert sorted(Message.objects.values_list("key", flat=True)) == [
        "overdue:repayment:1:7:sms",
        "overdue:repayment:2:7:email",
        "overdue:repayment:2:7:sms",
    ]


def test_a_thousand_messages_cost_a_constant_number_of_queries(django_assert_max_num_queries):
    customer = factories.wanjiku()
    drafts = [draft(number, customer=customer) for number in range(1000)]

    with django_assert_max_num_queries(100):
        operations.enqueue_many(drafts, now=TEN)


def test_a_row_the_database_will_not_take_is_an_error_on_both_engines(monkeypatch):
    monkeypatch.setattr(operations, "uuid4", lambda: None)

    with pytest.raises(IntegrityError), transaction.atomic():
        reminder()
    assert Message.objects.count() == 0


# --- Delivering ----------------------------------------------------------------------------------
def test_a_due_message_is_sent_and_its_fate_recorded(africastalking):
    message = reminder()

    assert operations.deliver(now=TEN) == Delivery(sent=1)
    assert fate(message) == ("sent", 1, "")
    assert (message.provider_id, message.cost) == ("ATXid_1", Decimal("0.8000"))
    assert message.sent_at - TEN < MINUTE
    assert list(message.history.values_list("history_type", "status")) == [
        ("~", "sent"),
        ("+", "queued"),
    ]


def test_a_sent_message_is_never_sent_again(africastalking):
    reminder()
    operations.deliver(now=TEN)

    assert operations.deliver(now=TEN + timedelta(days=1)) == Delivery()
    assert len(africastalking.calls) == 1


def test_email_leaves_through_django(settings):
    settings.EMAIL_CHANNEL = "django"
    reminder(factories.customer(email="wanjiku@example.com"), channel="email")

    assert operations.deliver(now=TEN) == Delivery(sent=1)
    assert [letter.subject for letter in mail.outbox] == [
        "Loan LN000123: KES 4,500.00 is 3 days late"
    ]


def test_reminders_queued_by_day_do_not_leave_at_night_but_receipts_do(africastalking):
    late = reminder(now=NIGHT - timedelta(hours=3))
    receipt = reminder(now=NIGHT, occasion="payment_received", key="receipt:1")

    assert operations.deliver(now=NIGHT) == Delivery(sent=1)
    assert fate(receipt) == ("sent", 1, "")
    assert fate(late) == ("queued", 0, "")
    assert operations.deliver(now=MORNING - timedelta(seconds=1)) == Delivery()
    assert operations.deliver(now=MORNING) == Delivery(sent=1)


def test_a_run_that_reaches_eight_in_the_evening_leaves_the_rest_for_the_morning(africastalking):
    message = reminder()

    assert operations.claim(message.pk, at=NIGHT) is None
    assert fate(message) == ("queued", 0, "")


def test_one_run_sends_no_more_than_its_limit_oldest_first(africastalking):
    second = reminder(key="b", now=TEN)
    first = reminder(key="a", now=TEN - MINUTE)

    assert operations.deliver(now=TEN, limit=1) == Delivery(sent=1)
    assert (fate(first)[0], fate(second)[0]) == ("sent", "queued")


def test_who_opts_out_while_the_message_waits_is_left_alone(africastalking):
    message = reminder(now=NIGHT)
    message.customer.takes_messages = False
    message.customer.save()

    assert operations.deliver(now=MORNING) == Delivery(cancelled=1)
    assert fate(message) == ("cancelled", 0, "The customer opted out of messages.")
    assert len(africastalking.calls) == 0


def test_a_reminder_of_who_died_meanwhile_is_cancelled_and_says_why(africastalking):
    message = reminder(now=NIGHT)
    message.customer.died_on = NIGHT.date()
    message.customer.save()

    assert operations.deliver(now=MORNING) == Delivery(cancelled=1)
    assert fate(message) == ("cancelled", 0, "The customer has died.")
    assert len(africastalking.calls) == 0


def test_a_rejected_message_fails_and_the_next_one_is_sent(silent):
    silent.post(client.SANDBOX, json=answer(403, "InvalidPhoneNumber"), status=201)
    silent.post(client.SANDBOX, json=answer(), status=201)
    wrong, right = reminder(key="a"), reminder(key="b")

    assert operations.deliver(now=TEN) == Delivery(sent=1, failed=1)
    assert fate(wrong) == ("failed", 1, "Africa's Talking: InvalidPhoneNumber (403)")
    assert fate(right) == ("sent", 1, "")


def test_an_unclear_message_is_never_repeated_by_a_machine(silent):
    silent.post(client.SANDBOX, status=504, body="gateway timeout")
    message = reminder()

    assert operations.deliver(now=TEN) == Delivery(unknown=1)
    assert operations.deliver(now=TEN + timedelta(days=1)) == Delivery()
    assert fate(message) == (
        "unknown",
        1,
        "Africa's Talking failed inside (HTTP 504): gateway timeout",
    )
    assert len(silent.calls) == 1


def test_what_was_surely_not_sent_is_tried_three_times_with_longer_pauses(silent):
    silent.post(client.SANDBOX, status=429, body="slow down")
    message = reminder()
    why = "Africa's Talking refused the request (HTTP 429): slow down"

    assert operations.deliver(now=TEN) == Delivery(requeued=1)
    assert fate(message) == ("queued", 1, why)
    assert operations.deliver(now=TEN + 4 * MINUTE) == Delivery()
    assert operations.deliver(now=TEN + 6 * MINUTE) == Delivery(requeued=1)
    assert operations.deliver(now=TEN + 20 * MINUTE) == Delivery()
    assert operations.deliver(now=TEN + 22 * MINUTE) == Delivery(failed=1)
    assert fate(message) == ("failed", 3, why)
    assert operations.deliver(now=TEN + timedelta(days=1)) == Delivery()


def test_a_gateway_that_is_away_is_left_alone_and_the_other_channel_goes_on(silent, settings):
    settings.EMAIL_CHANNEL = "django"
    silent.post(client.SANDBOX, status=429)
    customer = factories.customer(email="wanjiku@example.com")
    tried, spared = reminder(customer, key="a"), reminder(customer, key="b")
    letter = reminder(customer, key="c", channel="email")

    assert operations.deliver(now=TEN) == Delivery(sent=1, requeued=1)
    assert (fate(tried)[:2], fate(spared)[:2]) == (("queued", 1), ("queued", 0))
    assert fate(letter)[0] == "sent"


def test_a_wrong_setting_stops_the_run_before_anything_is_claimed(settings):
    settings.SMS_CHANNEL = "pigeon"
    message = reminder()

    with pytest.raises(ImproperlyConfigured):
        operations.deliver(now=TEN)
    assert fate(message) == ("queued", 0, "")


def test_a_delivery_says_in_words_what_it_did():
    assert str(Delivery(sent=3, failed=1)) == "3 sent, 1 failed"
    assert str(Delivery()) == "nothing to send"


# --- At most once --------------------------------------------------------------------------------
def test_a_worker_that_dies_while_sending_leaves_the_message_unknown_for_good(silent):
    def die(request):
        raise PowerCut

    silent.add_callback("POST", client.SANDBOX, callback=die)
    message = reminder()

    with pytest.raises(PowerCut):
        operations.deliver(now=TEN)

    assert fate(message) == ("sending", 1, "")
    assert operations.deliver(now=TEN + 9 * MINUTE) == Delivery()
    assert operations.deliver(now=TEN + 12 * MINUTE) == Delivery(unknown=1)
    assert fate(message) == (
        "unknown",
        1,
        "The worker stopped while sending: it may have gone out.",
    )
    assert operations.deliver(now=TEN + timedelta(days=1)) == Delivery()
    assert len(silent.calls) == 1


def test_a_second_worker_that_starts_in_the_middle_sends_only_what_is_left(silent):
    inner = []

    def meanwhile(request):
        if not inner:
            inner.append(None)
            inner[0] = operations.deliver(now=TEN)
        return 201, {}, json.dumps(answer())

    silent.add_callback("POST", client.SANDBOX, callback=meanwhile)
    for key in "abc":
        reminder(key=key)

    outer = operations.deliver(now=TEN)

    assert (outer, inner) == (Delivery(sent=1), [Delivery(sent=2)])
    assert len(silent.calls) == 3
    assert set(Message.objects.values_list("status", "attempts")) == {("sent", 1)}


def test_a_worker_that_was_only_slow_still_reports_what_it_sent(silent):
    def slow(request):
        assert operations.deliver(now=TEN + 11 * MINUTE) == Delivery(unknown=1)
        return 201, {}, json.dumps(answer())

    silent.add_callback("POST", client.SANDBOX, callback=slow)
    message = reminder()

    assert operations.deliver(now=TEN) == Delivery(sent=1)
    assert fate(message) == ("sent", 1, "")


def test_a_slow_worker_that_was_given_up_does_not_queue_again_what_it_could_not_send(silent):
    def slow(request):
        operations.deliver(now=TEN + 11 * MINUTE)
        return 429, {}, "slow down"

    silent.add_callback("POST", client.SANDBOX, callback=slow)
    message = reminder()

    assert operations.deliver(now=TEN) == Delivery(failed=1)
    assert fate(message)[:2] == ("failed", 1)


@pytest.mark.django_db(transaction=True)
def test_inside_a_transaction_nothing_is_claimed(committed, africastalking):
    reminder()

    with pytest.raises(RuntimeError), transaction.atomic():
        operations.deliver(now=TEN)
    assert len(africastalking.calls) == 0


@pytest.mark.django_db(transaction=True)
def test_workers_side_by_side_claim_each_message_once(committed):
    keys = [reminder(key=str(number)).pk for number in range(12)]
    start, claimed = Barrier(4), []

    def claim(pk: int) -> Message | None:
        while True:
            try:
                return operations.claim(pk, at=TEN)
            except OperationalError:
                # SQLite in memory says “locked” where a file would wait, even to the read after a
                # claim: then the worker has lost the message, which is safe.
                sleep(0.001)

    def work():
        start.wait()
        claimed.extend(pk for pk in keys if claim(pk))
        connection.close()

    workers = [Thread(target=work) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()

    assert len(claimed) == len(set(claimed))
    assert set(Message.objects.values_list("status", "attempts")) == {("sending", 1)}


# --- What staff and other rooms do ---------------------------------------------------------------
def test_reminders_of_a_paid_instalment_are_withdrawn(africastalking):
    third, thirteenth, other = (
        reminder(key=about, about=about)
        for about in (
            "LN000123 instalment 3",
            "LN000123 instalment 13",
            "LN0001234 instalment 3",
        )
    )
    receipt = reminder(occasion="payment_received", key="receipt", about="LN000123")

    assert operations.withdraw(about="LN000123 instalment 3", reason="Paid.") == 1
    assert fate(third) == ("cancelled", 0, "Paid.")
    assert operations.withdraw(about="LN000123", reason="Closed.") == 1
    assert fate(thirteenth) == ("cancelled", 0, "Closed.")
    assert (fate(other)[0], fate(receipt)[0]) == ("queued", "queued")


def test_a_queued_message_is_cancelled_with_who_and_why(africastalking, kamau):
    message = reminder()

    operations.cancel(message, by=kamau, reason="She paid at the counter.")

    assert fate(message) == ("cancelled", 0, "She paid at the counter.")
    last = message.history.first()
    assert (last.history_user, last.history_change_reason) == (kamau, "She paid at the counter.")
    assert operations.deliver(now=TEN) == Delivery()


def test_a_sent_message_cannot_be_cancelled(africastalking, kamau):
    message = reminder()
    operations.deliver(now=TEN)

    with pytest.raises(Refused, match=r"The message is sent, so it cannot become cancelled\."):
        operations.cancel(message, by=kamau, reason="Too late.")
    assert fate(message)[0] == "sent"


def failed(gateway, **fields) -> Message:
    """A message that the gateway turned down; it takes the next one."""
    gateway.reset()
    gateway.post(client.SANDBOX, json=answer(403, "InvalidPhoneNumber"), status=201)
    gateway.post(client.SANDBOX, json=answer(), status=201)
    message = reminder(**fields)
    operations.deliver(now=TEN)
    message.refresh_from_db()
    return message


def test_a_failed_message_is_sent_again_as_a_new_one_to_the_address_of_today(silent, kamau):
    old = failed(silent)
    old.customer.phone = "254722999888"
    old.customer.save()

    new = operations.resend(old, by=kamau, reason="Number corrected.", now=TEN)

    assert (new.key, new.recipient, new.again_of) == (
        "overdue:repayment:12:7:sms:again:1",
        "254722999888",
        old,
    )
    assert new.body == old.body
    assert new.history.get().history_user == kamau
    assert operations.deliver(now=TEN) == Delivery(sent=1)
    assert (fate(old)[0], fate(new)[0]) == ("failed", "sent")


def test_a_message_is_sent_again_once_and_then_its_successor(silent, kamau):
    old = failed(silent)
    new = operations.resend(old, by=kamau, reason="Try again.", now=TEN)

    with pytest.raises(Refused, match="sent again already"):
        operations.resend(old, by=kamau, reason="Try again.", now=TEN)

    Message.objects.filter(pk=new.pk).update(status="failed")
    third = operations.resend(new, by=kamau, reason="Try again.", now=NIGHT)
    assert (third.key, third.not_before) == ("overdue:repayment:12:7:sms:again:2", MORNING)


@pytest.mark.parametrize(("reason", "status"), [("  ", "failed"), ("Please.", "queued")])
def test_sending_again_needs_a_reason_and_a_message_that_did_not_go(silent, kamau, reason, status):
    message = failed(silent)
    Message.objects.filter(pk=message.pk).update(status=status)

    with pytest.raises(Refused):
        operations.resend(message, by=kamau, reason=reason, now=TEN)
    assert Message.objects.count() == 1


def test_nothing_is_sent_again_to_who_opted_out(silent, kamau):
    message = failed(silent)
    message.customer.takes_messages = False
    message.customer.save()

    with pytest.raises(Refused, match=r"Wanjiku Mwangi opted out of messages\."):
        operations.resend(message, by=kamau, reason="Please.", now=TEN)
    assert Message.objects.count() == 1
