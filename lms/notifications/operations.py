"""The verbs that write to the outbox: enqueue, deliver, withdraw, cancel, resend.

A message is told once per key and sent at most once. HTTP happens outside transactions, between
the committed claim and the committed outcome.
"""

import re
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from datetime import datetime, timedelta
from itertools import islice
from typing import NamedTuple
from uuid import uuid4

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import F, Q

from lms import history
from lms.customers.models import Customer
from lms.errors import Refused
from lms.notifications import client, hours
from lms.notifications.models import (
    BY_DAY,
    REMINDERS,
    SAMPLES,
    Channel,
    Message,
    MessageTemplate,
)

Status = Message.Status

CHUNK = 500
MAX_ATTEMPTS = 3
BACK_OFF = timedelta(minutes=5)  # tripled after each attempt
STUCK_AFTER = timedelta(minutes=10)  # far longer than one send can take
RUN_AT_MOST = timedelta(minutes=5)  # the next run goes on where this one stopped
_AGAIN = re.compile(r"(.+):again:(\d+)")


class Draft(NamedTuple):
    """A message someone wants sent. `key` names the event; the channel is added to it.

    `values` fill the template (`SAMPLES` names them); `customer`, `lender` and `paybill` need not
    be given. Without a `channel` it goes out over every one that has a template and an address.
    """

    customer: Customer
    occasion: str
    values: Mapping[str, str]
    key: str
    about: str = ""
    channel: str = ""


@dataclass(frozen=True)
class Delivery:
    """What one run of `deliver` did: a number of messages for each outcome."""

    sent: int = 0
    failed: int = 0
    requeued: int = 0
    unknown: int = 0
    cancelled: int = 0

    def __str__(self) -> str:
        done = [f"{count} {outcome}" for outcome, count in asdict(self).items() if count]
        return ", ".join(done) or "nothing to send"


def enqueue(
    customer: Customer,
    *,
    occasion: str,
    channel: str,
    values: Mapping[str, str],
    key: str,
    now: datetime,
    about: str = "",
) -> Message | None:
    """Queue one message for a customer; return it, or None when there is nothing new.

    Nothing is queued when this key and channel were queued before, when the customer has no
    address for the channel, or when the template is switched off. A customer who opted out gets
    a cancelled message, so that staff see why nothing was sent. Reminders wait for 08:00.
    Raises Refused when the template cannot be put into words.
    """
    draft = Draft(customer, occasion, values, key, about, channel)
    return next(iter(_queue([draft], _active_templates(), now=now)), None)


def enqueue_many(drafts: Iterable[Draft], *, now: datetime) -> int:
    """Queue many messages as `enqueue` does; return how many are new.

    Each few hundred are committed together. After a crash the same call queues the rest.
    """
    templates, waiting, new = _active_templates(), iter(drafts), 0
    while chunk := list(islice(waiting, CHUNK)):
        new += len(_queue(chunk, templates, now=now))
    return new


def tell(
    recipient: str, *, occasion: str, values: Mapping[str, str], key: str, now: datetime
) -> Message | None:
    """Queue an e-mail to one of the staff; return it, or None when it was queued before.

    Nothing is queued while its template is switched off. Raises Refused when that cannot be put
    into words.
    """
    template = _active_templates().get((occasion, Channel.EMAIL))
    if template is None:
        return None
    message = Message(
        key=f"{key}:{Channel.EMAIL}",
        channel=Channel.EMAIL,
        recipient=recipient,
        occasion=occasion,
        template=template,
        not_before=now,
        **_words(template, values),
    )
    return next(iter(_store({message.key: message})), None)


def _active_templates() -> dict[tuple[str, str], MessageTemplate]:
    active = MessageTemplate.objects.filter(is_active=True)
    return {(template.occasion, template.channel): template for template in active}


def _queue(drafts: list[Draft], templates: Mapping, *, now: datetime) -> list[Message]:
    """Store what is new among the drafts, and return that."""
    wanted: dict[str, Message] = {}
    for draft in drafts:
        for channel in [draft.channel] if draft.channel else Channel.values:
            template = templates.get((draft.occasion, channel))
            recipient = _address(draft.customer, channel)
            if template and recipient:
                message = _message(draft, template, recipient, now=now)
                wanted[message.key] = message
    return _store(wanted)


def _store(wanted: Mapping[str, Message]) -> list[Message]:
    """Store the messages whose keys are new, and return these."""
    if not wanted:
        return []
    run = uuid4()
    for message in wanted.values():
        message.run = run
    with transaction.atomic():
        Message.objects.bulk_create(wanted.values(), ignore_conflicts=True)
        stored = Message.objects.filter(key__in=list(wanted))
        if stored.count() != len(wanted):
            # SQLite's INSERT OR IGNORE passes over any broken constraint, not only the key.
            raise IntegrityError("Messages were not stored though their keys are new.")
        new = list(stored.filter(run=run).order_by("pk"))
        history.keep(new, kind=history.ADDED, by=None, reason="")
    return new


def _address(customer: Customer, channel: str) -> str:
    return customer.phone if channel == Channel.SMS else customer.email


def _message(draft: Draft, template: MessageTemplate, recipient: str, *, now: datetime) -> Message:
    """Return the unsaved message of a draft over the template's channel.

    Raises Refused when the template does not fit, ValueError when a value is missing.
    """
    values = {
        "customer": draft.customer.short_name,
        "lender": settings.LENDER_NAME,
        "paybill": settings.DARAJA_SHORTCODE,
        **draft.values,
    }
    if missing := SAMPLES[draft.occasion].keys() - values.keys():
        # Staff may write any of these into the template tomorrow.
        raise ValueError(f"{draft.occasion} needs a value for {', '.join(sorted(missing))}.")
    opted_out = not draft.customer.takes_messages
    return Message(
        key=f"{draft.key}:{template.channel}",
        channel=template.channel,
        recipient=recipient,
        customer=draft.customer,
        occasion=draft.occasion,
        about=draft.about,
        template=template,
        not_before=_earliest(draft.occasion, now),
        status=Status.CANCELLED if opted_out else Status.QUEUED,
        error="The customer opted out of messages." if opted_out else "",
        **_words(template, values),
    )


def _words(template: MessageTemplate, values: Mapping[str, str]) -> dict:
    try:
        words = template.compose(values)
    except ValueError as error:
        raise Refused(f"The template “{template}” cannot be used. {error}") from error
    parts = words.segments.parts if words.segments else 0
    return {"subject": words.subject[:200], "body": words.body, "parts": parts}


def _earliest(occasion: str, now: datetime) -> datetime:
    return hours.next_allowed(now) if occasion in BY_DAY else now


def deliver(*, now: datetime, limit: int = 200) -> Delivery:
    """Send what is due, oldest first, and return what became of it.

    Any number of workers may run this at once. A message whose worker died becomes `unknown`
    and is not sent again. What the gateway surely did not take is tried up to three times, after
    5 and 15 minutes; a gateway that is away is left alone until the next run.
    Raises ImproperlyConfigured before anything is sent, RuntimeError inside a transaction.
    """
    started = time.monotonic()
    tally = Counter(unknown=_give_up_stuck(now=now), cancelled=_cancel_unwanted())
    senders = {channel: client.sender(channel) for channel in Channel.values}
    due = Message.objects.due(now=now).order_by("not_before", "pk").values_list("pk", "channel")
    for pk, channel in list(due[:limit]):
        # The day moves on while gateways are slow: 20:00 may come in the middle of a run.
        at = now + timedelta(seconds=time.monotonic() - started)
        if at - now > RUN_AT_MOST:
            break
        if channel not in senders or not (message := claim(pk, at=at)):
            continue
        try:
            accepted = senders[channel](message.recipient, message.subject, message.body)
        except client.Rejected as error:
            outcome = _conclude(message, Status.FAILED, error=str(error))
        except client.Unclear as error:
            outcome = _conclude(message, Status.UNKNOWN, error=str(error))
        except client.Unreachable as error:
            del senders[channel]
            outcome = _try_later(message, error=str(error), at=at)
        else:
            facts = {"provider_id": accepted.provider_id, "cost": accepted.cost, "sent_at": at}
            outcome = _conclude(message, Status.SENT, error="", **facts)
        tally["requeued" if outcome == Status.QUEUED else outcome] += 1
    return Delivery(**{field.name: tally[field.name] for field in fields(Delivery)})


def claim(pk: int, *, at: datetime) -> Message | None:
    """Take a due message for this worker, or return None when it is no longer there to take.

    Committed on return, so that no other worker and no later run sends it too.
    Raises RuntimeError inside a transaction, which would keep the claim from the others.
    """
    with transaction.atomic(durable=True):
        taken = (
            Message.objects.due(now=at)
            .filter(pk=pk)
            .update(status=Status.SENDING, attempts=F("attempts") + 1, claimed_at=at)
        )
    return Message.objects.get(pk=pk) if taken else None


def _conclude(message: Message, status: str, **facts) -> str:
    """Write down what became of a claimed message, and return its status."""
    facts["error"] = facts["error"][:300]
    with transaction.atomic():
        current = Message.objects.select_for_update().get(pk=message.pk)
        if status in Message.NEXT.get(current.status, ()):
            current.move_to(status, **facts)
        elif status == Status.QUEUED:
            # Given up as stuck while it was only slow; a person may have sent it again.
            current.move_to(Status.FAILED, error=facts["error"])
    return current.status


def _try_later(message: Message, *, error: str, at: datetime) -> str:
    if message.attempts >= MAX_ATTEMPTS:
        return _conclude(message, Status.FAILED, error=error)
    again_at = at + BACK_OFF * 3 ** (message.attempts - 1)
    return _conclude(
        message, Status.QUEUED, error=error, not_before=_earliest(message.occasion, again_at)
    )


def _give_up_stuck(*, now: datetime) -> int:
    """Mark as unknown what a worker claimed and never reported on; return how many."""
    with transaction.atomic():
        stuck = list(Message.objects.stuck(before=now - STUCK_AFTER).select_for_update())
        for message in stuck:
            message.move_to(
                Status.UNKNOWN, error="The worker stopped while sending: it may have gone out."
            )
    return len(stuck)


def _cancel_unwanted() -> int:
    dead = _cancel_all(Message.objects.to_the_dead(), reason="The customer has died.")
    return dead + _cancel_all(
        Message.objects.unwanted(), reason="The customer opted out of messages."
    )


def withdraw(*, about: str, reason: str) -> int:
    """Cancel the queued reminders about a loan (`LN000123`) or `LN000123 instalment 3` alone.

    For what was paid, waived or cancelled before its reminder went out. Returns how many.
    """
    named = Q(about=about) | Q(about__startswith=f"{about} ")
    waiting = Message.objects.queued().filter(named, occasion__in=REMINDERS)
    return _cancel_all(waiting, reason=reason)


def _cancel_all(messages, *, reason: str) -> int:
    with transaction.atomic():
        found = list(messages.select_for_update(of=("self",)))
        for message in found:
            message.move_to(Status.CANCELLED, reason=reason, error=reason[:300])
    return len(found)


def cancel(message: Message, *, by, reason: str) -> Message:
    """Cancel a queued message. Raises Refused when it is not queued or the reason is missing."""
    with transaction.atomic():
        locked = Message.objects.select_for_update().get(pk=message.pk)
        words = _needed(reason)
        locked.move_to(Status.CANCELLED, by=by, reason=words, error=words[:300])
    return locked


def resend(message: Message, *, by, reason: str, now: datetime) -> Message:
    """Queue a failed or unknown message once more, to the customer's address of today.

    Returns the new message; the old one keeps its fate. Raises Refused for any other status,
    when it was sent again already, or when the customer opted out.
    """
    with transaction.atomic():
        old = Message.objects.select_for_update().get(pk=message.pk)
        words = _needed(reason)
        if old.status not in (Status.FAILED, Status.UNKNOWN):
            raise Refused(
                f"The message is {old.get_status_display().lower()}: "
                "only a failed or unknown one can be sent again."
            )
        if Message.objects.filter(again_of=old).exists():
            raise Refused("The message was sent again already: look at the newer one.")
        if old.customer and not old.customer.takes_messages:
            raise Refused(f"{old.customer.name} opted out of messages.")
        new = Message(
            key=_next_key(old.key),
            channel=old.channel,
            recipient=(old.customer and _address(old.customer, old.channel)) or old.recipient,
            customer=old.customer,
            occasion=old.occasion,
            about=old.about,
            template=old.template,
            subject=old.subject,
            body=old.body,
            parts=old.parts,
            not_before=_earliest(old.occasion, now),
            again_of=old,
            run=uuid4(),
        )
        new._history_user, new._change_reason = by, words[:100]
        new.save()
    return new


def _needed(reason: str) -> str:
    if not reason.strip():
        raise Refused("Say why: the history keeps the reason.", field="reason")
    return reason.strip()


def _next_key(key: str) -> str:
    again = _AGAIN.fullmatch(key)
    return f"{again[1]}:again:{int(again[2]) + 1}" if again else f"{key}:again:1"
