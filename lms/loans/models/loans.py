"""The loan and its fees."""

import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Self

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import MinValueValidator
from django.db import models
from django.db.models import F, Q
from django.utils.functional import cached_property
from simple_history.models import HistoricalRecords

from lms import history
from lms.customers.models import Customer
from lms.errors import Refused
from lms.loans.calculator import FeeSum, RepaymentCalculator
from lms.loans.calculator import Terms as ScheduleTerms
from lms.loans.calculator import Tranche as Part
from lms.loans.models.products import LoanProduct, ProductVersion
from lms.loans.models.terms import FeeTerms, HolidayRule, Terms
from lms.loans.penalties import PenaltyRule
from lms.money import CENT, ZERO, MoneyField, kes
from lms.staff.models import Branch, Holiday

# Between the letters and the first digit that counts, people put what they like.
NUMBER = re.compile(r"L\s?N?[\s\-_/#.:]*(0[\s\-_/#.:0]*)?([1-9][0-9]{0,11})[\s.,;]*")
# Its six digits in groups are one number; fewer, or with no zero in front, may be two loans.
GROUPED = re.compile(r"LN?[\s\-]*(0[0-9]*(?:[\s\-][0-9]+)+)")
MARKS = ("-", "/", " ")  # that people put between the parts of a number
AS_DIGITS = str.maketrans("OI\u2010\u2011\u2012\u2013\u2014\u2212", "01------")
WIDTH = 6


def spellings(text: str) -> list[str]:
    """Return the spellings in which the old system may have written a number that was typed.

    As it stands, and with other marks between its parts: between letters and digits any or none,
    between two runs of digits never none (12/345 is not 12345). Each as it is, and with zeros for
    the letters O that stand beside a digit.
    """
    typed = " ".join(text.split()).upper()
    found = {typed}
    if not any(map(str.isdigit, typed.replace("O", "0"))):
        return [typed] if typed else []
    for form in (typed, re.sub(r"O(?=[\W_O]*\d)|(?<=\d)O", "0", typed)):
        for inner in MARKS:
            between = re.sub(r"(?<=\d)[\W_]+(?=\d)", inner, form)
            parts = re.findall(rf"[A-Z]+|\d+(?:{re.escape(inner)}\d+)*", between)
            found |= {mark.join(parts) for mark in ("", *MARKS)}
    return sorted(found - {""})


def _old_numbers(text: str) -> set[str]:
    """Return the numbers of the old system that a text may mean: what is ours, as it stands."""
    return {text.strip().upper()} - {""} if Loan.key_of(text) else set(spellings(text))


class LoanQuerySet(models.QuerySet):
    def seen_by(self, staff) -> Self:
        return self if staff.sees_all_branches else self.filter(branch_id=staff.branch_id)

    def numbered(self, text: str) -> Self:
        """Return the loan whose number stands in the text (LN000123, ln-123), or none."""
        pk = Loan.key_of(text)
        return self.filter(pk=pk) if pk else self.none()

    def known_as(self, *texts: str) -> Self:
        """Return the loans with these numbers, here or in the system they were taken over from.

        A number of the old system is found in other spellings too: other marks between its parts,
        the letter O for a zero. So several loans may come: `meant_by` takes none of them then.
        """
        keys = {Loan.key_of(text) for text in texts} - {None}
        legacy = Q(legacy_number__in={number for text in texts for number in _old_numbers(text)})
        return self.filter(Q(pk__in=keys) | legacy) if keys else self.filter(legacy)

    def meant_by(self, *texts: str) -> "dict[str, Loan]":
        """Return the one loan that each text is known as; none where two could be meant."""
        loans = list(self.known_as(*texts)) if any(text.strip() for text in texts) else []
        by_key = {loan.pk: loan for loan in loans}
        by_old_number = {loan.legacy_number: loan for loan in loans if loan.legacy_number}
        meant = {}
        for text in texts:
            olds = [by_old_number.get(number) for number in _old_numbers(text)]
            found = {by_key.get(Loan.key_of(text)), *olds} - {None}
            if len(found) == 1:
                meant[text] = found.pop()
        return meant

    def active(self) -> Self:
        return self.filter(status=Loan.Status.ACTIVE)

    def overdue(self, *, on: date) -> Self:
        """Active loans whose oldest unpaid instalment was due before `on`."""
        return self.active().filter(position__overdue_since__lt=on)

    def matching(self, text: str) -> Self:
        """Return loans by number, or by their customer's phone, ID, PIN, number or name."""
        by_number = self.known_as(text)
        if Loan.key_of(text):
            return by_number
        customers = Customer.objects.matching(text).values_list("pk", flat=True)
        return self.filter(
            Q(customer_id__in=list(customers[:500])) | Q(legacy_number__in=spellings(text))
        )


class Loan(Terms):
    """Money lent to one customer. Status holds decisions; lateness is asked of repayments."""

    class Status(models.TextChoices):
        DRAFT = "draft", "Draft"
        SUBMITTED = "submitted", "Submitted"
        APPROVED = "approved", "Approved"
        ACTIVE = "active", "Active"
        CLOSED = "closed", "Closed"
        REJECTED = "rejected", "Rejected"
        WITHDRAWN = "withdrawn", "Withdrawn"
        WRITTEN_OFF = "written_off", "Written off"

    # Money can come in on these.
    DISBURSED = (Status.ACTIVE, Status.CLOSED, Status.WRITTEN_OFF)

    NEXT = {
        Status.DRAFT: {Status.SUBMITTED, Status.WITHDRAWN, Status.ACTIVE},  # active: taken over
        Status.SUBMITTED: {Status.APPROVED, Status.REJECTED, Status.DRAFT, Status.WITHDRAWN},
        Status.APPROVED: {Status.ACTIVE, Status.REJECTED, Status.WITHDRAWN},
        # approved: its disbursement was undone
        Status.ACTIVE: {Status.CLOSED, Status.WRITTEN_OFF, Status.APPROVED},
        Status.CLOSED: {Status.ACTIVE},  # a reversed payment opens it again
        Status.WRITTEN_OFF: {Status.ACTIVE},  # the write-off was undone
    }

    customer = models.ForeignKey(Customer, models.PROTECT, related_name="loans")
    product = models.ForeignKey(LoanProduct, models.PROTECT, related_name="loans")
    version = models.ForeignKey(
        ProductVersion,
        models.PROTECT,
        verbose_name="product version",
        editable=False,
        related_name="loans",
    )
    branch = models.ForeignKey(Branch, models.PROTECT, related_name="loans")
    loan_officer = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, blank=True, related_name="loans"
    )
    principal = MoneyField("amount (KES)", validators=[MinValueValidator(CENT)])
    purpose = models.CharField(max_length=120, blank=True)
    capitalised = MoneyField(
        "interest and fees turned into principal (KES)", default=ZERO, editable=False
    )
    undisbursed = MoneyField("still to be paid out (KES)", default=ZERO, editable=False)
    status = models.CharField(max_length=11, choices=Status, default=Status.DRAFT, editable=False)
    applied_on = models.DateField("applied")
    first_due = models.DateField(
        "first instalment due",
        null=True,
        blank=True,
        help_text="Empty: one period after the disbursement.",
    )
    legacy_number = models.CharField(
        "number in the old system", max_length=40, null=True, blank=True, unique=True
    )
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, editable=False, related_name="+"
    )
    submitted_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, editable=False, related_name="+"
    )
    approved_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, editable=False, related_name="+"
    )
    approved_on = models.DateField("approved", null=True, editable=False)
    disbursed_on = models.DateField("disbursed", null=True, editable=False)
    closed_on = models.DateField("closed", null=True, editable=False)
    restructured_on = models.DateField("restructured", null=True, editable=False)
    interest_stops_on = models.DateField(
        "interest and penalties stop",
        null=True,
        editable=False,
        help_text="The borrower died, or a court said so: nothing is charged after this day.",
    )
    refinances = models.OneToOneField(
        "self",
        models.PROTECT,
        null=True,
        blank=True,
        editable=False,
        related_name="refinanced_by",
        help_text="The loan that this one pays off.",
    )
    decided_on = models.DateField("rejected or withdrawn", null=True, editable=False)
    decision = models.CharField(
        "reason of the decision", max_length=200, blank=True, editable=False
    )
    history = HistoricalRecords()

    objects = LoanQuerySet.as_manager()

    class Meta:
        ordering = ["-pk"]
        permissions = [
            ("submit_loan", "Can submit a loan for approval"),
            ("approve_loan", "Can approve or reject a loan"),
            ("disburse_loan", "Can disburse a loan"),
            ("close_loan", "Can close a loan"),
            ("collect_loan", "Can ask a customer to pay by STK push"),
            ("settle_loan", "Can settle a loan early with a rebate, or prepay principal"),
            ("reschedule_loan", "Can move due dates"),
            ("restructure_loan", "Can restructure, top up or refinance a loan"),
            ("write_off_loan", "Can write a loan off"),
            ("undo_loan", "Can undo a disbursement or the last change of a loan"),
            ("transfer_loan", "Can move loans between officers and branches"),
            ("record_death", "Can record a death and its insurance claim"),
        ]
        constraints = [
            models.CheckConstraint(condition=Q(principal__gt=0), name="loan_principal_positive"),
            models.CheckConstraint(
                condition=~Q(status__in=["active", "closed", "written_off"])
                | Q(disbursed_on__isnull=False),
                name="loan_active_is_disbursed",
            ),
            models.CheckConstraint(
                condition=Q(undisbursed__gte=0) & Q(undisbursed__lt=F("principal")),
                name="loan_undisbursed_is_part",
            ),
        ]
        indexes = [
            models.Index(fields=["status", "-id"], name="loan_by_status"),
            models.Index(fields=["branch", "status", "-id"], name="loan_by_branch_status"),
            models.Index(fields=["disbursed_on"], name="loan_by_disbursed_on"),
        ]

    def __str__(self) -> str:
        return f"{self.number} · {self.customer.name}"

    @property
    def number(self) -> str:
        return f"LN{self.pk:06d}" if self.pk else "LN(new)"

    @property
    def lent(self) -> Decimal:
        """All principal there ever was to pay back so far: paid out or capitalised (KES)."""
        return self.principal - self.undisbursed + self.capitalised

    @staticmethod
    def key_of(text: str) -> int | None:
        """Return the primary key that a loan number in any spelling means, or None.

        Payers type LN000123, ln 123, LN-0123, LNOOO123 and LN 000-123 for the same loan.
        """
        typed = str(text or "").strip().upper()
        if not typed.startswith("L"):
            return None
        typed = typed.translate(AS_DIGITS)
        if found := NUMBER.fullmatch(typed):
            return int(found[2])
        grouped = GROUPED.fullmatch(typed)
        digits = re.sub(r"\D", "", grouped[1]) if grouped else ""
        return int(digits) or None if len(digits) == WIDTH else None

    def clean(self) -> None:
        super().clean()
        if self.legacy_number and self.key_of(self.legacy_number):
            raise ValidationError(
                {"legacy_number": "This reads like a loan number of ours: money would go astray."}
            )
        has_both = self.version_id and self.principal is not None
        if has_both and (wrong := self.version.breaches(self)):
            raise ValidationError(wrong)

    @cached_property
    def accounts(self) -> dict[str, str]:
        """The accounts it is posted to, by the code of the common account each stands for."""
        return self.posting_profile.places if self.posting_profile_id else {}

    def account(self, code: str) -> str:
        """Return the code of the account that it is posted to in place of a common one."""
        return self.accounts.get(code, code)

    def copy_terms(self, version: ProductVersion) -> None:
        """Take over every term of the version; the fees are copied by `operations.apply`."""
        self.product, self.version = version.product, version
        self.posting_profile_id = version.posting_profile_id
        for field in Terms.TERM_FIELDS:
            setattr(self, field, getattr(version, field))

    def schedule_terms(
        self, *, disbursed_on: date, fees=None, tranches: Sequence[Part] | None = None
    ) -> ScheduleTerms:
        """Return the pure terms of this loan, as the calculator takes them.

        `fees` are the calculator's fees; without them the saved fees of the loan are used. Without
        `tranches` an application has its planned ones, and a loan those that were paid out.
        """
        if fees is None:
            fees = [fee.as_fee() for fee in self.fees.all()]
        planned = list(self.tranches.all()) if self.pk else []
        if planned:  # Fees are on all that is lent, whenever it is paid out.
            fees = [replace(fee, kind="amount", value=fee.amount(self.principal)) for fee in fees]
        if tranches is None:
            days = [(part.paid_on if self.disbursed_on else part.planned_on) for part in planned]
            pairs = zip(days, planned, strict=True)
            tranches = sorted(Part(day, part.amount) for day, part in pairs if day)
        return ScheduleTerms(
            principal=self._first_part(planned),
            tranches=tuple(tranches),
            annual_rate=self.annual_rate,
            method=self.method,
            number_of_repayments=self.number_of_repayments,
            repay_every=self.repay_every,
            unit=self.repay_unit,
            disbursed_on=disbursed_on,
            first_due=self.first_due,
            day_count=self.day_count,
            principal_grace=self.principal_grace,
            interest_grace=self.interest_grace,
            grace_interest=self.grace_interest,
            fees=tuple(fees),
            instalment_multiple=Decimal(self.instalment_multiple),
            interest_multiple=Decimal(self.interest_multiple),
            rounding_mode=self.rounding_mode,
            holiday_rule=self.holiday_rule,
            holidays=Holiday.days() if self.holiday_rule != HolidayRule.KEEP else frozenset(),
        )

    def _first_part(self, planned) -> Decimal:
        later = sum((part.amount for part in planned), ZERO)
        if later and later >= self.principal:
            raise Refused(
                f"The tranches come to {kes(later)}: they must leave a first part of the "
                f"{kes(self.principal)} to pay out.",
                field="principal",
            )
        return self.principal - later

    def calculator(
        self, *, disbursed_on: date, fees=None, tranches: Sequence[Part] | None = None
    ) -> RepaymentCalculator:
        terms = self.schedule_terms(disbursed_on=disbursed_on, fees=fees, tranches=tranches)
        return RepaymentCalculator(terms)

    @property
    def fees_before(self) -> FeeSum:
        """The fees that are paid before the disbursement, and the excise duty on them (KES)."""
        before = (fee for fee in self.fees.all() if fee.when == FeeTerms.When.PAID_BEFORE)
        taken = [fee.as_fee() for fee in before]
        return FeeSum(
            sum((fee.amount(self.principal) for fee in taken), ZERO),
            sum((fee.excise(self.principal) for fee in taken), ZERO),
        )

    @property
    def penalty_rule(self) -> PenaltyRule:
        return PenaltyRule(
            base=self.penalty_base,
            value=self.penalty_value,
            frequency=self.penalty_frequency,
            grace_days=self.penalty_grace_days,
            start=self.penalty_start,
            cap_kind=self.penalty_cap_kind,
            cap_value=self.penalty_cap_value,
            stops_at=self.penalty_stop,
        )

    def move_to(self, status: Status, *, by, reason: str, fields: tuple[str, ...] = ()) -> None:
        """Take one step of NEXT and record who and why. Raises Refused for any other step."""
        if status not in self.NEXT.get(self.Status(self.status), ()):
            raise Refused(
                f"{self.number} is {self.get_status_display().lower()}, "
                f"so it cannot become {self.Status(status).label.lower()}."
            )
        self.status = status
        history.update([self], ("status", *fields), by=by, reason=reason)

    def days_late(self, *, on: date) -> int:
        """Return the days past due of an active loan on a day, 0 when nothing is late."""
        position = getattr(self, "position", None)
        since = position.overdue_since if position else None
        if self.status != self.Status.ACTIVE or since is None or since >= on:
            return 0
        return (on - since).days


class LoanFee(FeeTerms):
    """A fee of one loan, copied from its product and adjustable until it is submitted."""

    loan = models.ForeignKey(Loan, models.CASCADE, related_name="fees")
    history = HistoricalRecords()

    class Meta(FeeTerms.Meta):
        verbose_name = "fee"
