"""What Daraja posted, stored before a word of it is believed."""

import json
from collections.abc import Mapping
from datetime import datetime
from functools import cache
from typing import NoReturn, Self

from django.db import connection, models
from django.db.models import Exists, OuterRef, Q

from lms.errors import Refused
from lms.money import MoneyField
from lms.mpesa.models.inquiries import Inquiry
from lms.mpesa.models.payouts import B2cPayment
from lms.mpesa.models.pulls import Pull
from lms.mpesa.models.pushes import MpesaPayment
from lms.mpesa.models.reversals import Reversal
from lms.mpesa.reviewing import Outcome
from lms.payments.models import Payment

# How the history of a payment says that it was placed.
PLACED = Q()
for _reason in ("Allocated to ", "Prepaid principal of ", "Paid fees of ", "Held as credit"):
    PLACED |= Q(history_change_reason__startswith=_reason)


# What a callback comes with. Everything else of it stands as it begins, until it is applied.
GIVEN = ("kind", "body", "headers", "remote_addr", "received_at", "due_at")


@cache
def _insertion() -> str:
    """Return the INSERT of a callback as it comes."""
    model = Callback._meta
    others = [f for f in model.concrete_fields if not (f.primary_key or f.null or f.name in GIVEN)]
    columns = ", ".join([*GIVEN, *(f.column for f in others)])
    begins = [f.get_default() for f in others]
    values = ", ".join(["%s"] * len(GIVEN) + [f"'{b}'" if b != 0 else "0" for b in begins])
    table = model.db_table
    return f"INSERT INTO {table} ({columns}) VALUES ({values}) RETURNING id"  # noqa: S608 - its columns and what they begin with are ours


class CallbackQuerySet(models.QuerySet):
    def store(
        self,
        *,
        kind: str,
        body: bytes,
        headers: Mapping[str, str],
        remote_addr: str | None,
        at: datetime,
    ) -> int:
        """Store what Daraja sent, byte for byte, and in line from then on; return its key.

        One INSERT said past the ORM: Daraja waits for its answer, and to make a row of a model
        costs the web more than to send it.
        """
        with connection.cursor() as cursor:
            when = connection.ops.adapt_datetimefield_value(at)
            cursor.execute(_insertion(), (kind, body, json.dumps(headers), remote_addr, when, when))
            [(key,)] = cursor.fetchall()
        return key

    def seen_by(self, staff) -> Self:
        """Callbacks about the person's branch, and those whose owner nobody knows."""
        if staff.sees_all_branches:
            return self
        balances = [Callback.Kind.BALANCE, Callback.Kind.BALANCE_TIMEOUT]
        unowned = Q(payment=None, push=None, b2c=None, reversal=None) & ~Q(kind__in=balances)
        asked = Q(push__customer__branch_id=staff.branch_id)
        asked |= Q(b2c__payout__branch_id=staff.branch_id)
        asked |= Q(reversal__payment__branch_id=staff.branch_id)
        asked &= Q(payment=None)
        return self.filter(Q(payment__branch_id=staff.branch_id) | asked | unowned)

    def due(self, *, at: datetime) -> Self:
        """Callbacks to be applied by an instant, those that waited longest first."""
        return self.filter(status=Callback.Status.RECEIVED, due_at__lte=at).order_by("due_at", "pk")

    def fresh(self) -> Self:
        """Callbacks that may bring money, and that nobody has tried to apply yet."""
        return self.filter(attempts=0, kind__in=Callback.MONEY)

    def tried(self) -> Self:
        """The others: what was tried before, and what brings no money."""
        return self.exclude(attempts=0, kind__in=Callback.MONEY)

    def line_up(self, *, at: datetime) -> int:
        """Put these back in line, to be applied from an instant on; return how many."""
        return self.update(status=Callback.Status.RECEIVED, due_at=at, attempts=0)

    def needing_review(self) -> Self:
        return self.filter(status__in=[Callback.Status.REVIEW, Callback.Status.FAILED])

    def with_placer(self) -> Self:
        """Add `by_hand`: a person placed the payment that books it."""
        placed = Payment.history.filter(
            PLACED, id=OuterRef("payment_id"), history_user__isnull=False
        )
        return self.annotate(by_hand=Exists(placed))

    def that_came_to(self, outcome: str) -> Self:
        """Callbacks of which this became; every callback came to one Outcome."""
        status, gone = Callback.Status, Q(payment__status=Payment.Status.REVERSED)
        applied = Q(status=status.APPLIED)
        told = applied & Q(payment=None)
        if outcome in (Outcome.AUTO, Outcome.BY_HAND):
            by_hand = outcome == Outcome.BY_HAND
            placed = applied & Q(payment__status=Payment.Status.ALLOCATED)
            return self.with_placer().filter(placed, by_hand=by_hand)
        wanted = {
            Outcome.REVIEW: Q(status__in=[status.REVIEW, status.FAILED]),
            Outcome.UNPLACED: applied & Q(payment__status=Payment.Status.UNALLOCATED),
            Outcome.DUPLICATE: Q(status=status.DUPLICATE) & ~gone,
            Outcome.REVERSED: Q(status__in=[status.APPLIED, status.DUPLICATE]) & gone,
            Outcome.PAYOUT: told & Q(b2c__isnull=False),
            Outcome.NO_MONEY: Q(status=status.IGNORED) | (told & Q(b2c=None)),
            Outcome.WAITING: Q(status=status.RECEIVED),
        }
        return self.filter(wanted[Outcome(outcome)])


class Callback(models.Model):
    """What Daraja posted, byte for byte, stored before a word of it is believed."""

    class Kind(models.TextChoices):
        STK = "stk", "STK result"
        VALIDATION = "validation", "C2B validation"
        CONFIRMATION = "confirmation", "C2B confirmation"
        BALANCE = "balance", "Balance result"
        BALANCE_TIMEOUT = "balance-timeout", "Balance timeout"
        STATUS = "status", "Payment status result"
        STATUS_TIMEOUT = "status-timeout", "Payment status timeout"
        B2C = "b2c", "Payout result"
        B2C_TIMEOUT = "b2c-timeout", "Payout timeout"
        REVERSAL = "reversal", "Reversal result"
        REVERSAL_TIMEOUT = "reversal-timeout", "Reversal timeout"
        PULL = "pull", "Pulled payment"
        PULL_NOTICE = "pull-notice", "Pull notification"

    class Status(models.TextChoices):
        RECEIVED = "received", "Received"
        APPLIED = "applied", "Applied"
        DUPLICATE = "duplicate", "Duplicate"
        IGNORED = "ignored", "No money in it"
        REVIEW = "review", "Needs review"
        FAILED = "failed", "Could not be applied"

    # What plainly brings money, and is applied many at once.
    MONEY = (Kind.CONFIRMATION, Kind.STK)
    # A payment of a customer with the account that they typed.
    WITH_ACCOUNT = (Kind.CONFIRMATION, Kind.PULL, Kind.PULL_NOTICE)
    EVIDENCE = frozenset({"kind", "body", "headers", "remote_addr", "received_at"})

    kind = models.CharField(max_length=20, choices=Kind)
    body = models.BinaryField(editable=False)
    headers = models.JSONField(default=dict)
    remote_addr = models.GenericIPAddressField("sent from", null=True, blank=True)
    received_at = models.DateTimeField("received", db_index=True)
    status = models.CharField(max_length=9, choices=Status, default=Status.RECEIVED)
    note = models.CharField(
        "what was made of it", max_length=300, blank=True, help_text="Why it stands as it stands."
    )
    attempts = models.PositiveSmallIntegerField(default=0)
    due_at = models.DateTimeField(
        "next attempt", null=True, editable=False, help_text="While it is received, not before."
    )
    processed_at = models.DateTimeField("processed", null=True, blank=True)
    checkout_id = models.CharField("checkout request ID", max_length=100, blank=True)
    conversation_id = models.CharField("conversation ID", max_length=100, blank=True)
    receipt = models.CharField("M-Pesa receipt", max_length=20, blank=True)
    amount = MoneyField("amount (KES)", null=True, blank=True)
    account = models.CharField("account as typed", max_length=40, blank=True)
    phone = models.CharField("payer's phone", max_length=64, blank=True)
    payer_name = models.CharField(max_length=120, blank=True)
    paid_at = models.DateTimeField("paid", null=True, blank=True)
    push = models.ForeignKey(
        MpesaPayment,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="callbacks",
        db_index=False,
    )
    payment = models.ForeignKey(
        Payment,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="callbacks",
        db_index=False,
    )
    inquiry = models.ForeignKey(
        Inquiry,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="callbacks",
        db_index=False,
    )
    b2c = models.ForeignKey(
        B2cPayment,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="callbacks",
        db_index=False,
        verbose_name="M-Pesa payout",
    )
    reversal = models.ForeignKey(
        Reversal,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="callbacks",
        db_index=False,
    )
    pull = models.ForeignKey(
        Pull,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="callbacks",
        db_index=False,
        verbose_name="found by",
    )

    objects = CallbackQuerySet.as_manager()

    class Meta:
        verbose_name = "Daraja callback"
        ordering = ["-pk"]
        indexes = [
            models.Index(fields=["status", "-id"], name="callback_by_status"),
            models.Index(fields=["account", "paid_at"], name="callback_by_account"),
            models.Index(
                fields=["due_at", "id"], condition=Q(status="received"), name="callback_in_line"
            ),
            models.Index(fields=["checkout_id"], name="callback_by_checkout_id"),
            models.Index(fields=["conversation_id"], name="callback_by_conversation_id"),
            models.Index(fields=["receipt"], name="callback_by_receipt"),
            # What it is about is learnt when it is applied: storing it touches none of these.
            *(
                models.Index(
                    fields=[about],
                    condition=Q(**{f"{about}__isnull": False}),
                    name=f"callback_by_{about}",
                )
                for about in ("push", "payment", "inquiry", "b2c", "reversal", "pull")
            ),
        ]

    def __str__(self) -> str:
        known_by = self.receipt or self.checkout_id or self.conversation_id or self.pk
        return f"{self.get_kind_display()} {known_by}"

    def save(self, *args, **kwargs) -> None:
        if self._state.adding:
            self.due_at = self.due_at or self.received_at  # it stands in line from the start
        else:
            changed = kwargs.get("update_fields")
            if changed is None or self.EVIDENCE & set(changed):
                raise Refused("What Daraja sent is evidence: it is not edited.")
        super().save(*args, **kwargs)

    def delete(self, *args, **kwargs) -> NoReturn:
        raise Refused("What Daraja sent is evidence: it is not deleted.")

    @property
    def outcome(self) -> Outcome:
        """What became of it, as staff sort it. Ask only rows that came `with_placer`."""
        known = {
            self.Status.RECEIVED: Outcome.WAITING,
            self.Status.IGNORED: Outcome.NO_MONEY,
            self.Status.REVIEW: Outcome.REVIEW,
            self.Status.FAILED: Outcome.REVIEW,
        }
        if self.status in known:
            return known[self.status]
        standing = self.payment.status if self.payment else ""
        if standing == Payment.Status.REVERSED:
            return Outcome.REVERSED
        if self.status == self.Status.DUPLICATE:
            return Outcome.DUPLICATE
        if not standing:
            return Outcome.PAYOUT if self.b2c_id else Outcome.NO_MONEY
        if standing == Payment.Status.UNALLOCATED:
            return Outcome.UNPLACED
        return Outcome.BY_HAND if self.by_hand else Outcome.AUTO

    @property
    def text(self) -> str:
        """Return the body as staff read it; bytes that are not text show as \\xNN."""
        return bytes(self.body).decode("utf-8", errors="backslashreplace")
