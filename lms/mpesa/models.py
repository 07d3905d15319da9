"""Payments asked for by M-Pesa, what was asked of Daraja, what it sent, and the token for it."""

from datetime import datetime, timedelta
from typing import NoReturn, Self

from django.conf import settings
from django.db import models
from django.db.models import Q
from simple_history.models import HistoricalRecords

from lms import phones
from lms.customers.models import Customer
from lms.errors import Refused
from lms.money import MoneyField, kes
from lms.mpesa.result_codes import Explanation, Fate, explain
from lms.payments.models import Payment


class MpesaPaymentQuerySet(models.QuerySet):
    def seen_by(self, staff) -> Self:
        """Requests to customers of the person's branch, and those the person made."""
        if staff.sees_all_branches:
            return self
        return self.filter(Q(customer__branch_id=staff.branch_id) | Q(requested_by=staff))

    def numbered(self, text: str) -> Self:
        """Return the request with the number in the text (MP000012), or none."""
        digits = text.strip().upper().removeprefix("MP").lstrip(" -")
        return self.filter(pk=int(digits)) if digits.isascii() and digits.isdigit() else self.none()

    def open(self) -> Self:
        """Requests whose fate is not known yet."""
        return self.filter(status__in=MpesaPayment.OPEN)

    def needing_review(self) -> Self:
        """Requests that a person must look at: paid without a receipt, or never answered."""
        return self.filter(
            status__in=[MpesaPayment.Status.CONFIRMED, MpesaPayment.Status.UNRESOLVED]
        )

    def due_for_query(self, *, now: datetime) -> Self:
        """Open requests about which Safaricom should be asked by `now`."""
        return self.open().filter(next_query_at__lte=now).order_by("next_query_at")


class Stepwise:
    """A record that goes from status to status, only as its NEXT allows."""

    NEXT: dict[str, set[str]]

    def can_become(self, status: str) -> bool:
        return status in self.NEXT.get(self.status, ())

    def _step(self, status: str) -> None:
        """Take one step without saving it. Raises Refused for one that NEXT does not allow."""
        if not self.can_become(status):
            raise Refused(
                f"{self.number} is {self.get_status_display().lower()}, "
                f"so it cannot become {self.Status(status).label.lower()}."
            )
        self.status = status


class MpesaPayment(Stepwise, models.Model):
    """An STK push we asked for, and what became of it. Paid is final."""

    class Status(models.TextChoices):
        REQUESTED = "requested", "Being sent"
        SENT = "sent", "Waiting for the customer"
        UNKNOWN = "unknown", "No answer from Safaricom"
        CONFIRMED = "confirmed", "Paid, receipt awaited"
        PAID = "paid", "Paid"
        FAILED = "failed", "Failed"
        CANCELLED = "cancelled", "Cancelled by customer"
        TIMED_OUT = "timed_out", "Not answered by customer"
        UNRESOLVED = "unresolved", "Needs review"

    OPEN = (Status.REQUESTED, Status.SENT, Status.UNKNOWN)
    _LOST = {Status.FAILED, Status.CANCELLED, Status.TIMED_OUT}
    _WON = {Status.CONFIRMED, Status.PAID}
    # A late success wins over everything; a late failure never undoes what is paid.
    NEXT = {
        Status.REQUESTED: {Status.SENT, Status.UNKNOWN, Status.UNRESOLVED} | _LOST | _WON,
        Status.SENT: {Status.UNRESOLVED} | _LOST | _WON,
        Status.UNKNOWN: {Status.UNRESOLVED} | _LOST | _WON,
        Status.UNRESOLVED: _LOST | _WON,
        Status.FAILED: _WON,
        Status.CANCELLED: _WON,
        Status.TIMED_OUT: _WON,
        Status.CONFIRMED: {Status.PAID},
    }
    STATUS_OF = {
        Fate.FAILED: Status.FAILED,
        Fate.CANCELLED: Status.CANCELLED,
        Fate.TIMED_OUT: Status.TIMED_OUT,
    }
    BETWEEN_PROMPTS = timedelta(seconds=60)  # Daraja shows one prompt a minute to a subscriber
    SAME_PAYMENT_WITHIN = timedelta(minutes=15)  # how long after a request its money may be paid

    phone = models.CharField(max_length=12)
    amount = MoneyField("amount (KES)", help_text="Whole shillings.")
    account = models.CharField(max_length=12, help_text="Loan number, like LN000123.")
    purpose = models.CharField("shown to the customer", max_length=13)
    customer = models.ForeignKey(
        Customer, models.PROTECT, null=True, blank=True, related_name="mpesa_payments"
    )
    status = models.CharField(
        max_length=10, choices=Status, default=Status.REQUESTED, editable=False
    )
    requested_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="mpesa_payments_requested",
    )
    requested_at = models.DateTimeField("requested")
    request_key = models.CharField(
        max_length=64, null=True, blank=True, unique=True, editable=False
    )
    merchant_request_id = models.CharField("merchant request ID", max_length=100, blank=True)
    checkout_request_id = models.CharField(
        "checkout request ID", max_length=100, null=True, blank=True, unique=True
    )
    response_code = models.CharField("answer to the request", max_length=40, blank=True)
    response_description = models.CharField("in Safaricom's words", max_length=200, blank=True)
    result_code = models.CharField(max_length=32, blank=True)
    result_desc = models.CharField("result in Safaricom's words", max_length=200, blank=True)
    receipt = models.CharField("M-Pesa receipt", max_length=20, null=True, blank=True, unique=True)
    paid_at = models.DateTimeField("paid", null=True, blank=True)
    queries = models.PositiveSmallIntegerField("times asked", default=0)
    queried_at = models.DateTimeField("last asked", null=True, blank=True)
    next_query_at = models.DateTimeField("ask again", null=True, blank=True)
    payment = models.OneToOneField(
        Payment, models.PROTECT, null=True, blank=True, related_name="mpesa_payment"
    )
    history = HistoricalRecords()

    objects = MpesaPaymentQuerySet.as_manager()

    class Meta:
        verbose_name = "M-Pesa request"
        ordering = ["-pk"]
        constraints = [
            models.CheckConstraint(condition=Q(amount__gt=0), name="mpesa_amount_positive"),
            models.CheckConstraint(
                condition=Q(phone__regex=r"^254[17][0-9]{8}$"), name="mpesa_phone_is_kenyan"
            ),
            models.CheckConstraint(
                condition=~Q(status="paid") | Q(receipt__isnull=False),
                name="mpesa_paid_has_receipt",
            ),
            # Two people who press the button at once send one prompt, not two.
            models.UniqueConstraint(
                fields=["phone"],
                condition=Q(status="requested"),
                name="mpesa_one_request_in_flight",
            ),
        ]
        indexes = [
            models.Index(fields=["status", "-id"], name="mpesa_by_status"),
            models.Index(fields=["phone", "-requested_at"], name="mpesa_by_phone"),
            models.Index(fields=["account", "-requested_at"], name="mpesa_by_account"),
            models.Index(
                fields=["next_query_at"],
                condition=Q(next_query_at__isnull=False),
                name="mpesa_due_for_query",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.number} · {kes(self.amount)} from {phones.show(self.phone)}"

    @property
    def number(self) -> str:
        return f"MP{self.pk:06d}" if self.pk else "MP(new)"

    @property
    def is_open(self) -> bool:
        return self.status in self.OPEN

    @property
    def explanation(self) -> Explanation | None:
        """Return Safaricom's result in plain words, or None while there is none."""
        return explain(self.result_code) if self.result_code else None

    def move_to(self, status: str, *, by, reason: str, fields: tuple[str, ...] = ()) -> None:
        """Take one step of NEXT, saving `fields` with it. Raises Refused for any other step."""
        self._step(status)
        if status not in self.OPEN:
            self.next_query_at = None
        self.note(by=by, reason=reason, fields=("status", "next_query_at", *fields))

    def note(self, *, by, reason: str, fields: tuple[str, ...]) -> None:
        """Save `fields` with a line of history that says who and why."""
        self._history_user, self._change_reason = by, reason[:100]
        self.save(update_fields=sorted(set(fields)))


class InquiryQuerySet(models.QuerySet):
    def seen_by(self, staff) -> Self:
        """Questions that people of the person's branch asked, or that are about its money."""
        if staff.sees_all_branches:
            return self
        own = Q(asked_by__branch_id=staff.branch_id) | Q(payment__branch_id=staff.branch_id)
        return self.filter(own | Q(push__customer__branch_id=staff.branch_id))

    def answered_by(self, *, conversation_id: str, originator_id: str) -> Self:
        """Questions to which a result with these ids is the answer; "" names none."""
        ids = Q(conversation_id=conversation_id) if conversation_id else Q(pk=None)
        return self.filter(ids | Q(originator_id=originator_id) if originator_id else ids)


class Inquiry(Stepwise, models.Model):
    """A question to Safaricom whose answer comes later, as a callback. Asking moves no money."""

    class Kind(models.TextChoices):
        BALANCE = "balance", "Balances"
        STATUS = "status", "A payment"

    class Status(models.TextChoices):
        ASKED = "asked", "Being asked"
        SENT = "sent", "Waiting for the answer"
        UNKNOWN = "unknown", "No answer from Safaricom"
        ANSWERED = "answered", "Answered"
        FAILED = "failed", "Not answered"

    # A late answer wins; a late timeout never undoes one.
    NEXT = {
        Status.ASKED: {Status.SENT, Status.UNKNOWN, Status.ANSWERED, Status.FAILED},
        Status.SENT: {Status.UNKNOWN, Status.ANSWERED, Status.FAILED},
        Status.UNKNOWN: {Status.ANSWERED, Status.FAILED},
        Status.FAILED: {Status.ANSWERED},
    }
    OPEN = (Status.ASKED, Status.SENT)

    kind = models.CharField(max_length=7, choices=Kind)
    shortcode = models.CharField(max_length=10)
    receipt = models.CharField("M-Pesa receipt", max_length=20, blank=True, db_index=True)
    push = models.ForeignKey(
        MpesaPayment,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="inquiries",
        verbose_name="M-Pesa request",
    )
    payment = models.ForeignKey(
        Payment, models.PROTECT, null=True, blank=True, related_name="inquiries"
    )
    status = models.CharField(max_length=8, choices=Status, default=Status.ASKED, editable=False)
    asked_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, blank=True, related_name="+"
    )
    asked_at = models.DateTimeField("asked")
    conversation_id = models.CharField(
        "conversation ID", max_length=100, null=True, blank=True, unique=True
    )
    originator_id = models.CharField(
        "originator conversation ID", max_length=100, null=True, blank=True, unique=True
    )
    code = models.CharField(max_length=40, blank=True)
    message = models.CharField("in Safaricom's words", max_length=200, blank=True)
    answered_at = models.DateTimeField("answered", null=True, blank=True)
    transaction_status = models.CharField("status at Safaricom", max_length=30, blank=True)
    amount = MoneyField("amount (KES)", null=True, blank=True)
    payer = models.CharField("from", max_length=120, blank=True)
    payee = models.CharField("to", max_length=120, blank=True)
    paid_at = models.DateTimeField("paid", null=True, blank=True)
    history = HistoricalRecords()

    objects = InquiryQuerySet.as_manager()

    class Meta:
        verbose_name = "M-Pesa inquiry"
        verbose_name_plural = "M-Pesa inquiries"
        ordering = ["-pk"]
        permissions = [("ask_inquiry", "Can ask Safaricom about balances and payments")]
        constraints = [
            models.CheckConstraint(
                condition=Q(kind="balance", receipt="") | (Q(kind="status") & ~Q(receipt="")),
                name="inquiry_about_a_payment_names_it",
            ),
        ]
        indexes = [models.Index(fields=["kind", "shortcode", "-asked_at"], name="inquiry_by_kind")]

    def __str__(self) -> str:
        return f"{self.number} · {self.receipt or f'balances of {self.shortcode}'}"

    @property
    def number(self) -> str:
        return f"MQ{self.pk:06d}" if self.pk else "MQ(new)"

    @property
    def is_open(self) -> bool:
        return self.status in self.OPEN

    @property
    def finding(self) -> str:
        """Say in one line what became of the question."""
        if self.status != self.Status.ANSWERED:
            return " ".join(filter(None, [self.code, self.message])) or "-"
        if self.kind == self.Kind.BALANCE:
            return "Balances received."
        said = f"{self.transaction_status} at Safaricom"
        return f"{said}: {kes(self.amount)}" if self.amount is not None else said

    def move_to(self, status: str, *, by, reason: str, fields: tuple[str, ...] = ()) -> None:
        """Take one step of NEXT, saving `fields` with it. Raises Refused for any other step."""
        self._step(status)
        self._history_user, self._change_reason = by, reason[:100]
        self.save(update_fields=sorted({"status", *fields}))


class MpesaBalanceQuerySet(models.QuerySet):
    def latest_known(self) -> Self:
        """The last balance of each account, the lender's own paybill first."""
        return self.filter(is_latest=True).order_by("shortcode", "account")


class MpesaBalance(models.Model):
    """What one of our M-Pesa accounts held at an instant, in Safaricom's words."""

    shortcode = models.CharField(max_length=10)
    account = models.CharField(max_length=60)
    current = MoneyField("current (KES)")
    available = MoneyField("available (KES)", null=True, blank=True)
    reserved = MoneyField("reserved (KES)", null=True, blank=True)
    uncleared = MoneyField("uncleared (KES)", null=True, blank=True)
    as_of = models.DateTimeField("as of")
    is_latest = models.BooleanField("last known", default=False)
    inquiry = models.ForeignKey(
        Inquiry, models.PROTECT, related_name="balances", verbose_name="asked by"
    )

    objects = MpesaBalanceQuerySet.as_manager()

    class Meta:
        verbose_name = "M-Pesa balance"
        ordering = ["-as_of", "account"]
        constraints = [
            models.UniqueConstraint(
                fields=["inquiry", "account"], name="one_balance_an_account_and_inquiry"
            ),
            models.UniqueConstraint(
                fields=["shortcode", "account"],
                condition=Q(is_latest=True),
                name="one_latest_balance_an_account",
            ),
        ]
        indexes = [models.Index(fields=["-as_of", "account"], name="balance_by_day")]

    def __str__(self) -> str:
        return f"{self.account} of {self.shortcode}: {kes(self.current)}"


class DarajaRequestQuerySet(models.QuerySet):
    def seen_by(self, staff) -> Self:
        """Requests of the person's branch, and those about no customer."""
        if staff.sees_all_branches:
            return self
        return self.filter(
            Q(asked_by__branch_id=staff.branch_id)
            | Q(kind__in=[DarajaRequest.Kind.TOKEN, DarajaRequest.Kind.REGISTER])
        )


class DarajaRequest(models.Model):
    """One request to Daraja and its answer, without secrets; kept for some days, to be read."""

    class Kind(models.TextChoices):
        TOKEN = "token", "Access token"
        STK_PUSH = "stk_push", "STK push"
        STK_QUERY = "stk_query", "STK query"
        BALANCE = "balance", "Account balance"
        STATUS = "status", "Transaction status"
        REGISTER = "register", "Register addresses"

    class Outcome(models.TextChoices):
        ACCEPTED = "accepted", "Accepted"
        REJECTED = "rejected", "Rejected"
        UNKNOWN = "unknown", "Unknown"

    kind = models.CharField(max_length=9, choices=Kind)
    sent_at = models.DateTimeField("sent", db_index=True)
    asked_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, blank=True, related_name="+"
    )
    about = models.CharField(max_length=40, blank=True, db_index=True)
    outcome = models.CharField(max_length=8, choices=Outcome)
    code = models.CharField(max_length=40, blank=True)
    message = models.CharField("in Safaricom's words", max_length=200, blank=True)
    milliseconds = models.PositiveIntegerField()
    request = models.TextField("what was sent", blank=True)
    answer = models.TextField("what came back", blank=True)

    objects = DarajaRequestQuerySet.as_manager()

    class Meta:
        verbose_name = "Daraja request"
        ordering = ["-pk"]
        permissions = [("register_darajarequest", "Can register the paybill's addresses")]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} {self.about}".strip()


class CallbackQuerySet(models.QuerySet):
    def seen_by(self, staff) -> Self:
        """Callbacks about the person's branch, and those whose owner nobody knows."""
        if staff.sees_all_branches:
            return self
        balances = [Callback.Kind.BALANCE, Callback.Kind.BALANCE_TIMEOUT]
        unowned = Q(payment=None, push=None) & ~Q(kind__in=balances)
        pushed = Q(payment=None, push__customer__branch_id=staff.branch_id)
        return self.filter(Q(payment__branch_id=staff.branch_id) | pushed | unowned)

    def waiting(self, *, before: datetime) -> Self:
        """Callbacks stored before an instant that nobody has applied yet: a crash left them."""
        return self.filter(status=Callback.Status.RECEIVED, received_at__lt=before).order_by("pk")

    def needing_review(self) -> Self:
        return self.filter(status__in=[Callback.Status.REVIEW, Callback.Status.FAILED])


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

    class Status(models.TextChoices):
        RECEIVED = "received", "Received"
        APPLIED = "applied", "Applied"
        DUPLICATE = "duplicate", "Duplicate"
        IGNORED = "ignored", "No money in it"
        REVIEW = "review", "Needs review"
        FAILED = "failed", "Could not be applied"

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
    processed_at = models.DateTimeField("processed", null=True, blank=True)
    checkout_id = models.CharField("checkout request ID", max_length=100, blank=True, db_index=True)
    conversation_id = models.CharField("conversation ID", max_length=100, blank=True, db_index=True)
    receipt = models.CharField("M-Pesa receipt", max_length=20, blank=True, db_index=True)
    amount = MoneyField("amount (KES)", null=True, blank=True)
    account = models.CharField("account as typed", max_length=40, blank=True)
    phone = models.CharField("payer's phone", max_length=64, blank=True)
    payer_name = models.CharField(max_length=120, blank=True)
    paid_at = models.DateTimeField("paid", null=True, blank=True)
    push = models.ForeignKey(
        MpesaPayment, models.PROTECT, null=True, blank=True, related_name="callbacks"
    )
    payment = models.ForeignKey(
        Payment, models.PROTECT, null=True, blank=True, related_name="callbacks"
    )
    inquiry = models.ForeignKey(
        Inquiry, models.PROTECT, null=True, blank=True, related_name="callbacks"
    )

    objects = CallbackQuerySet.as_manager()

    class Meta:
        verbose_name = "Daraja callback"
        ordering = ["-pk"]
        indexes = [
            models.Index(fields=["status", "-id"], name="callback_by_status"),
            models.Index(fields=["account", "paid_at"], name="callback_by_account"),
        ]

    def __str__(self) -> str:
        known_by = self.receipt or self.checkout_id or self.conversation_id or self.pk
        return f"{self.get_kind_display()} {known_by}"

    def save(self, *args, **kwargs) -> None:
        if not self._state.adding:
            changed = kwargs.get("update_fields")
            if changed is None or self.EVIDENCE & set(changed):
                raise Refused("What Daraja sent is evidence: it is not edited.")
        super().save(*args, **kwargs)

    def delete(self, *args, **kwargs) -> NoReturn:
        raise Refused("What Daraja sent is evidence: it is not deleted.")

    @property
    def text(self) -> str:
        """Return the body as staff read it; bytes that are not text show as \\xNN."""
        return bytes(self.body).decode("utf-8", errors="backslashreplace")


class AccessToken(models.Model):
    """The one OAuth token of an app, shared by all processes: each new one kills the last."""

    url = models.CharField(max_length=200)
    key_hash = models.CharField(max_length=64)
    token = models.TextField(blank=True)
    expires_at = models.DateTimeField(null=True)
    lease_until = models.DateTimeField(null=True)

    EARLY = timedelta(seconds=60)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["url", "key_hash"], name="one_token_per_app"),
        ]

    def __str__(self) -> str:
        return f"Token for {self.url}"

    def is_good(self, *, at: datetime) -> bool:
        """Tell whether the token lives for at least another minute."""
        return (
            bool(self.token) and self.expires_at is not None and self.expires_at > at + self.EARLY
        )
