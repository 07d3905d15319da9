"""What is offered: new terms of a product are drafted, approved by another, and start on a day."""

from datetime import date, timedelta

from django.core.exceptions import ValidationError
from django.db import models, transaction

from lms import dates
from lms.errors import Refused
from lms.ledger import profiles
from lms.loans.models import EligibilityRule, Loan, LoanProduct, ProductFee, ProductVersion
from lms.loans.operations import rows
from lms.loans.operations.lifecycle import copy_fees, offered
from lms.words import counted

Status = ProductVersion.Status
# The rows of a version, each by the name of its manager.
PARTS: tuple[type[models.Model], ...] = (ProductFee, EligibilityRule)


def new_version(product: LoanProduct, *, by, on: date) -> ProductVersion:
    """Draft the next version of a product, as a copy of its latest with fees and rules.

    Raises Refused while another draft waits.
    """
    with transaction.atomic():
        product = _lock(product.pk)
        versions = list(product.versions.order_by("-number"))
        if waiting := next((each for each in versions if each.is_draft), None):
            raise Refused(f"{waiting} is still a draft: change that one, or withdraw it.")
        latest = next((each for each in versions if each.status == Status.APPROVED), None)
        version = ProductVersion(
            product=product, number=versions[0].number + 1 if versions else 1, created_by=by
        )
        if latest is not None:
            for field in ProductVersion.FIXED_FIELDS:
                setattr(version, field, getattr(latest, field))
        why = f"Copied from {latest}" if latest else "First terms"
        _save(version, by=by, reason=why)
        for model in PARTS if latest else ():
            for part in model.objects.filter(version=latest).order_by("pk"):
                _save(_copy(part, version), by=by, reason=why)
    return version


def approve_version(
    version: ProductVersion, *, reference: str, starts_on: date, by, on: date
) -> ProductVersion:
    """Put drafted terms in force from a day; those before them end the day before.

    Raises Refused for one's own work, without the reference of the approval, where two accounts of
    its posting profile stand for the same one, or for a day that is too soon: a changed price waits
    for the notice period of the product. Only the first version may start in the past.
    """
    if not (reference := reference.strip()):
        raise Refused(
            "Give the reference of the approval: a minute or a letter.", field="reference"
        )
    with transaction.atomic():
        product, version = _lock_version(version)
        if not version.is_draft:
            raise Refused(f"{version} is {version.get_status_display().lower()} already.")
        if by.pk in makers_of(version):
            raise Refused(f"You prepared {version} yourself: someone else must approve it.")
        try:
            version.clean()
        except ValidationError as error:
            raise Refused(" ".join(error.messages)) from error
        earliest = version.starts_at_the_earliest(on=on)
        if earliest and starts_on < earliest:
            raise Refused(_too_soon(product, earliest, on=on), field="starts_on")
        others = product.versions.filter(status=Status.APPROVED)
        if later := others.filter(starts_on__gte=starts_on).order_by("starts_on").first():
            raise Refused(
                f"{later} starts on {dates.show(later.starts_on)}: withdraw it first, "
                "or start this one later.",
                field="starts_on",
            )
        if previous := others.order_by("-starts_on").first():
            previous.ends_on = starts_on - timedelta(days=1)
            _save(previous, by=by, reason=f"{version} follows", fields=["ends_on"])
        if version.posting_profile:
            profiles.fix(version.posting_profile, by=by, reason=f"{version} was approved")
        version.status, version.approval_reference = Status.APPROVED, reference
        version.starts_on, version.approved_by, version.approved_on = starts_on, by, on
        decided = ["status", "approval_reference", "starts_on", "approved_by", "approved_on"]
        _save(version, by=by, reason=f"Approved: {reference}", fields=decided)
    return version


def _too_soon(product: LoanProduct, earliest: date, *, on: date) -> str:
    if earliest == on:
        return "New terms cannot start in the past."
    return (
        f"The price changes, so {product} gives {counted(product.notice_days, 'day')} of notice: "
        f"{dates.show(earliest)} is the earliest day."
    )


def withdraw_version(version: ProductVersion, *, reason: str, by, on: date) -> ProductVersion:
    """Drop terms that have not started; those before them go on. Raises Refused once in force."""
    reason = rows.needs_reason(reason)
    with transaction.atomic():
        product, version = _lock_version(version)
        state = version.state(on=on)
        if state == "withdrawn":
            raise Refused(f"{version} is withdrawn already.")
        if state in ("current", "expired"):
            raise Refused(
                f"{version} is in force since {dates.show(version.starts_on)}: "
                "make a new version instead."
            )
        if state == "future":
            ends_on = version.starts_on - timedelta(days=1)
            approved = product.versions.filter(status=Status.APPROVED)
            if previous := approved.filter(ends_on=ends_on).first():
                previous.ends_on = version.ends_on
                _save(previous, by=by, reason=f"{version} is withdrawn", fields=["ends_on"])
        version.status = Status.WITHDRAWN
        _save(version, by=by, reason=reason, fields=["status"])
    return version


def take_current_terms(loan: Loan, *, by, on: date) -> Loan:
    """Give a draft the terms and fees that its product is offered on today.

    What staff adjusted on it is lost. Raises Refused unless it is a draft, where it has them
    already, and where the amount lies outside the new limits.
    """
    with transaction.atomic():
        loan = rows.lock(loan.pk)
        if loan.status != Loan.Status.DRAFT:
            raise Refused(
                f"{loan.number} is {loan.get_status_display().lower()}: "
                "only a draft can take other terms."
            )
        version = offered(loan.product, on=on)
        if version.pk == loan.version_id:
            raise Refused(f"{loan.number} has the current terms already: {version}.")
        loan.copy_terms(version)
        for sentence in version.breaches(loan).values():
            raise Refused(sentence)
        fields = ["version", "posting_profile", *Loan.TERM_FIELDS]
        _save(loan, by=by, reason=f"Took the terms of {version}", fields=fields)
        for fee in loan.fees.all():
            fee._history_user, fee._change_reason = by, f"Took the terms of {version}"[:100]
            fee.delete()
        copy_fees(loan, by=by)
    return loan


def makers_of(version: ProductVersion) -> set[int]:
    """Return the keys of everyone who wrote in a draft: they cannot approve it."""
    makers = {version.created_by_id}
    for model, path in ((ProductVersion, "id"), *((part, "version_id") for part in PARTS)):
        history = model.history.filter(**{path: version.pk})
        makers |= set(history.values_list("history_user_id", flat=True))
    return makers - {None}


def _lock(pk: int) -> LoanProduct:
    """Lock the product, the one lock of its versions, until the transaction ends."""
    return LoanProduct.objects.select_for_update().get(pk=pk)


def _lock_version(version: ProductVersion) -> tuple[LoanProduct, ProductVersion]:
    product = _lock(version.product_id)
    version = product.versions.get(pk=version.pk)
    version.product = product
    return product, version


def _copy(part: models.Model, version: ProductVersion) -> models.Model:
    fields = [field.attname for field in part._meta.concrete_fields if not field.primary_key]
    values = {name: getattr(part, name) for name in fields}
    return type(part)(**values | {"version_id": version.pk})


def _save(record, *, by, reason: str, fields: list[str] | None = None) -> None:
    record._history_user, record._change_reason = by, reason[:100]
    record.save(update_fields=fields)
