"""What stands behind a loan: the verbs on guarantors and on collateral."""

from datetime import date, timedelta
from decimal import Decimal

from django.db import transaction

from lms import dates
from lms.customers.models import Customer
from lms.errors import Refused
from lms.loans.models import Collateral, Guarantor, GuarantorNotice, Loan, Valuation
from lms.loans.models.security import DEMAND_DAYS
from lms.loans.operations import notices, rows
from lms.loans.operations.rows import needs_reason
from lms.money import ZERO, kes

Status = Guarantor.Status
OWED = (Loan.Status.ACTIVE, Loan.Status.WRITTEN_OFF)
ENDED = (Loan.Status.CLOSED, Loan.Status.REJECTED, Loan.Status.WITHDRAWN)


# --- Guarantors ----------------------------------------------------------------------------------
def propose(
    loan: Loan,
    *,
    customer: Customer,
    amount: Decimal,
    by,
    on: date,
    relationship: str = "",
    capacity: Decimal | None = None,
) -> Guarantor:
    """Write down who should answer for a loan; they answer once they have consented.

    Raises Refused for the borrower, for one who guarantees it already, and beyond the capacity.
    """
    with transaction.atomic():
        loan = rows.lock(loan.pk)
        if loan.status in ENDED:
            raise Refused(f"{loan.number} is {loan.get_status_display().lower()}.")
        guarantor = Guarantor(
            loan=loan,
            customer=customer,
            amount=amount,
            relationship=relationship,
            capacity=capacity,
        )
        return _appoint(guarantor, by=by, reason="Proposed")


def _appoint(guarantor: Guarantor, *, by, reason: str) -> Guarantor:
    """Save a new guarantor of a locked loan. Raises Refused for whom the rules exclude."""
    loan, customer = guarantor.loan, guarantor.customer
    if customer.pk == loan.customer_id:
        raise Refused("The borrower cannot guarantee their own loan.", field="customer")
    if loan.guarantors.filter(customer=customer, status__in=Guarantor.OPEN).exists():
        raise Refused(f"{customer.name} guarantees {loan.number} already.", field="customer")
    must_fit(guarantor)
    return _save(guarantor, by=by, reason=reason)


def must_fit(guarantor: Guarantor) -> None:
    """Raise Refused when the amount is beyond the capacity less what is guaranteed elsewhere.

    Locks the customer: two loans must not take up the same capacity at once.
    """
    Customer.objects.select_for_update(of=("self",)).get(pk=guarantor.customer_id)
    if sentence := guarantor.beyond_capacity():
        raise Refused(sentence, field="amount")


def verify_capacity(
    guarantor: Guarantor, *, capacity: Decimal, basis: str, by, on: date
) -> Guarantor:
    """Record what a guarantor can answer for in all, and by which papers that was checked."""
    with transaction.atomic():
        guarantor = _locked(guarantor)
        if not guarantor.is_open:
            raise Refused(_gone(guarantor))
        guarantor.capacity, guarantor.capacity_basis = capacity, needs_reason(basis)[:120]
        guarantor.capacity_verified_on = on
        must_fit(guarantor)
        return _save(guarantor, by=by, reason=f"Capacity verified: {basis}")


def consent(
    guarantor: Guarantor, *, means: str, consented_on: date, by, on: date, document=None
) -> Guarantor:
    """Record that a guarantor agreed to answer, on which day and by which means.

    Raises Refused unless proposed, for a day to come, and beyond the capacity.
    """
    with transaction.atomic():
        guarantor = _locked(guarantor)
        if guarantor.status != Status.PROPOSED:
            raise Refused(_gone(guarantor))
        return _take_consent(
            guarantor, means=means, consented_on=consented_on, document=document, by=by, on=on
        )


def _take_consent(
    guarantor: Guarantor, *, means: str, consented_on: date, document, by, on: date
) -> Guarantor:
    if consented_on > on:
        raise Refused("The consent cannot lie in the future.", field="consented_on")
    must_fit(guarantor)
    guarantor.status, guarantor.consented_on = Status.CONSENTED, consented_on
    guarantor.consent_means, guarantor.consent_recorded_by = means, by
    if document:
        guarantor.consent_document = document
    return _save(guarantor, by=by, reason=f"Consent: {guarantor.get_consent_means_display()}")


def notify(
    guarantor: Guarantor, *, kind: str, channel: str, text: str, sent_on: date, by, on: date
) -> GuarantorNotice:
    """Record what a guarantor was told. A demand binds fourteen days after it was sent.

    A demand by SMS of this day is sent, and its words are kept with what is written here. Raises
    Refused for a demand while the borrower is not in arrears, and for a day to come.
    """
    with transaction.atomic():
        guarantor = _locked(guarantor)
        if sent_on > on:
            raise Refused("The notice cannot have been sent in the future.", field="sent_on")
        is_demand = kind == GuarantorNotice.Kind.DEMAND
        pay_by = sent_on + timedelta(days=DEMAND_DAYS)
        if is_demand:
            _must_be_demandable(guarantor, on=sent_on)
        if is_demand and channel == GuarantorNotice.Channel.SMS and sent_on == on:
            sent = notices.demand_by_sms(guarantor, pay_by=pay_by, on=on)
            text = f"{sent.body}\n{text}"
        if not text.strip():
            raise Refused("Write down what was said.", field="text")
        notice = GuarantorNotice(
            guarantor=guarantor,
            kind=kind,
            channel=channel,
            text=text.strip(),
            sent_on=sent_on,
            sent_by=by,
            demand_from=pay_by if is_demand else None,
        )
        return _save(notice, by=by, reason="Notice recorded")


def _must_be_demandable(guarantor: Guarantor, *, on: date) -> None:
    loan = guarantor.loan
    if guarantor.status != Status.CONSENTED:
        raise Refused(f"{guarantor.customer.name} does not answer for {loan.number}.", field="kind")
    written_off = loan.status == Loan.Status.WRITTEN_OFF
    if not written_off and not loan.days_late(on=on):
        raise Refused(
            f"{loan.number} is not in arrears on {dates.show(on)}: "
            "nothing can be demanded of its guarantors.",
            field="kind",
        )


def release_guarantor(guarantor: Guarantor, *, reason: str, by, on: date) -> Guarantor:
    """End a guarantee, with the reason."""
    reason = needs_reason(reason)
    with transaction.atomic():
        return _release_guarantor(_locked(guarantor), reason=reason, by=by, on=on)


def _release_guarantor(guarantor: Guarantor, *, reason: str, by, on: date) -> Guarantor:
    if not guarantor.is_open:
        raise Refused(_gone(guarantor))
    guarantor.status, guarantor.released_on = Status.RELEASED, on
    guarantor.release_reason = reason[:200]
    return _save(guarantor, by=by, reason=reason)


def release_ended(guarantors, *, reason: str, by, on: date) -> list[Guarantor]:
    """Release the open ones among these guarantors. Raises Refused while a loan is running."""
    reason = needs_reason(reason)
    with transaction.atomic():
        open_ones = guarantors.filter(status__in=Guarantor.OPEN).order_by("loan_id", "pk")
        found = [_locked(row) for row in open_ones]
        if running := [row.loan.number for row in found if row.loan.status not in ENDED]:
            raise Refused(f"{running[0]} has not ended: its guarantors are released one by one.")
        return [_release_guarantor(row, reason=reason, by=by, on=on) for row in found]


def substitute(
    guarantor: Guarantor,
    *,
    customer: Customer,
    amount: Decimal,
    means: str,
    consented_on: date,
    reason: str,
    by,
    on: date,
    relationship: str = "",
    capacity: Decimal | None = None,
    document=None,
) -> Guarantor:
    """Put another customer, who has consented, in the place of a guarantor; return the new one.

    Raises Refused like `propose` and `consent`, and on a running loan for one without KYC.
    """
    reason = needs_reason(reason)
    with transaction.atomic():
        old = _locked(guarantor)
        if not old.is_open:
            raise Refused(_gone(old))
        if old.loan.status in ENDED:
            raise Refused(f"{old.loan.number} has ended: release the guarantor instead.")
        new = Guarantor(
            loan=old.loan,
            customer=customer,
            amount=amount,
            relationship=relationship,
            capacity=capacity,
        )
        if old.loan.status != Loan.Status.DRAFT:
            _must_be_known(customer)
        _appoint(new, by=by, reason=f"In the place of {old.customer.name}")
        _take_consent(new, means=means, consented_on=consented_on, document=document, by=by, on=on)
        old.status, old.replaced_by, old.released_on = Status.SUBSTITUTED, new, on
        old.release_reason = reason[:200]
        _save(old, by=by, reason=reason)
    return new


def must_stand(loan: Loan) -> None:
    """Raise Refused while somebody named as security of a loan has not consented.

    Every guarantor has consented, has verified KYC and can bear the amount; the owner of what is
    not the borrower's has agreed to pledge it.
    """
    for guarantor in loan.guarantors.filter(status__in=Guarantor.OPEN):
        if guarantor.status != Status.CONSENTED:
            raise Refused(
                f"{guarantor.customer.name} has not consented to guarantee {loan.number} yet."
            )
        _must_be_known(guarantor.customer)
        must_fit(guarantor)
    for thing in loan.collateral.held().filter(
        owner=Collateral.Owner.THIRD, owner_consented_on=None
    ):
        raise Refused(f"{thing.owner_name} has not consented to pledge “{thing.description}” yet.")


def _must_be_known(customer: Customer) -> None:
    if customer.kyc_status != Customer.Kyc.VERIFIED:
        raise Refused(f"The KYC of the guarantor {customer.name} is not verified yet.")


def _locked(row):
    """Lock the loan of a guarantor or a collateral and return the row as it stands."""
    loan = rows.lock(row.loan_id)
    row = type(row).objects.get(pk=row.pk)
    row.loan = loan
    return row


def _gone(guarantor: Guarantor) -> str:
    return f"{guarantor.customer.name} is {guarantor.get_status_display().lower()} already."


# --- Collateral ----------------------------------------------------------------------------------
def pledge(collateral: Collateral, *, by, on: date, valuer: str = "") -> Collateral:
    """Take a new thing as security, with its first valuation. Raises Refused for an ended loan."""
    with transaction.atomic():
        loan = rows.lock(collateral.loan_id)
        if loan.status in ENDED:
            raise Refused(f"{loan.number} is {loan.get_status_display().lower()}.")
        if collateral.valued_on > on:
            raise Refused("The valuation cannot lie in the future.", field="valued_on")
        _save(collateral, by=by, reason="Pledged")
        _value(
            collateral,
            value=collateral.value,
            forced_sale_percent=collateral.forced_sale_percent,
            valued_on=collateral.valued_on,
            valuer=valuer,
            note="First valuation",
            by=by,
        )
    return collateral


def revalue(
    collateral: Collateral,
    *,
    value: Decimal,
    forced_sale_percent: int,
    valued_on: date,
    by,
    on: date,
    valuer: str = "",
    note: str = "",
) -> Valuation:
    """Record a valuation; the collateral is worth what its latest one by day says."""
    with transaction.atomic():
        collateral = _held(collateral)
        if valued_on > on:
            raise Refused("The valuation cannot lie in the future.", field="valued_on")
        made = _value(
            collateral,
            value=value,
            forced_sale_percent=forced_sale_percent,
            valued_on=valued_on,
            valuer=valuer,
            note=note,
            by=by,
        )
        latest = collateral.valuations.latest()
        collateral.value, collateral.valued_on = latest.value, latest.valued_on
        collateral.forced_sale_percent = latest.forced_sale_percent
        _save(collateral, by=by, reason="Valued anew")
    return made


def _value(collateral: Collateral, *, by, **found) -> Valuation:
    valuation = Valuation(collateral=collateral, recorded_by=by, **found)
    return _save(valuation, by=by, reason="Valued")


def register(
    collateral: Collateral,
    *,
    mpsr_number: str,
    registered_on: date,
    registration_expires_on: date | None,
    by,
    on: date,
) -> Collateral:
    """Record the notice in the movable property security rights register, new or renewed."""
    with transaction.atomic():
        collateral = _held(collateral)
        if registered_on > on:
            raise Refused("The registration cannot lie in the future.", field="registered_on")
        if registration_expires_on and registration_expires_on <= registered_on:
            raise Refused("The registration ends after it began.", field="registration_expires_on")
        if not mpsr_number.strip():
            raise Refused("Give the number of the registration.", field="mpsr_number")
        collateral.mpsr_number = mpsr_number.strip().upper()
        collateral.registered_on = registered_on
        collateral.registration_expires_on = registration_expires_on
        return _save(collateral, by=by, reason=f"Registered as {collateral.mpsr_number}")


def insure(collateral: Collateral, *, insured_until: date, by, on: date) -> Collateral:
    """Record until when a collateral is insured. Raises Refused for a day gone by."""
    with transaction.atomic():
        collateral = _held(collateral)
        if insured_until < on:
            raise Refused("This insurance is over already.", field="insured_until")
        collateral.insured_until = insured_until
        return _save(collateral, by=by, reason=f"Insured until {dates.show(insured_until)}")


def take_custody(
    collateral: Collateral, *, location: str, received_on: date, by, on: date
) -> Collateral:
    """Record that the thing, or its logbook or title, came into our keeping, and where it lies."""
    with transaction.atomic():
        collateral = _held(collateral)
        if received_on > on:
            raise Refused("It cannot have been received in the future.", field="received_on")
        collateral.location = location
        collateral.received_on, collateral.received_by = received_on, by
        return _save(collateral, by=by, reason=f"In custody: {location}")


def consent_of_owner(collateral: Collateral, *, consented_on: date, by, on: date) -> Collateral:
    """Record that an owner who is not the borrower agreed to pledge their thing."""
    with transaction.atomic():
        collateral = _held(collateral)
        if collateral.owner != Collateral.Owner.THIRD:
            raise Refused("It belongs to the borrower, who pledges it by the application.")
        if consented_on > on:
            raise Refused("The consent cannot lie in the future.", field="consented_on")
        collateral.owner_consented_on = consented_on
        return _save(collateral, by=by, reason="The owner consented")


def release_collateral(
    collateral: Collateral, *, released_to: str, reason: str, by, on: date
) -> Collateral:
    """Give a collateral back. Raises Refused while its loan is owed, unless `by` may do that too.

    The permission for a loan that is still owed is `release_owed_collateral`.
    """
    reason = needs_reason(reason)
    with transaction.atomic():
        collateral = _held(collateral)
        loan = collateral.loan
        if loan.status in OWED and not by.has_perm("loans.release_owed_collateral"):
            raise Refused(
                f"{kes(_owed(loan))} is still owed on {loan.number}: "
                "its collateral is released when that is paid."
            )
        return _release_collateral(collateral, released_to=released_to, reason=reason, by=by, on=on)


def _release_collateral(collateral: Collateral, *, released_to, reason, by, on) -> Collateral:
    collateral.status, collateral.released_on = Collateral.Status.RELEASED, on
    collateral.released_to, collateral.release_reason = released_to.strip(), reason[:200]
    return _save(collateral, by=by, reason=reason)


def restore(collateral: Collateral, *, reason: str, by, on: date) -> Collateral:
    """Take a release back: the collateral was not given away, or came back."""
    reason = needs_reason(reason)
    with transaction.atomic():
        collateral = _locked(collateral)
        if collateral.status != Collateral.Status.RELEASED:
            raise Refused(f"“{collateral.description}” is held: nothing is to be taken back.")
        if collateral.loan.status in ENDED:
            raise Refused(f"{collateral.loan.number} has ended: nothing is to be secured.")
        collateral.status, collateral.released_on = Collateral.Status.HELD, None
        collateral.released_to = collateral.release_reason = ""
        return _save(collateral, by=by, reason=reason)


def _held(collateral: Collateral) -> Collateral:
    collateral = _locked(collateral)
    if collateral.status != Collateral.Status.HELD:
        raise Refused(f"“{collateral.description}” is released already.")
    return collateral


def _owed(loan: Loan) -> Decimal:
    position = getattr(loan, "position", None)
    return position.outstanding if position else ZERO


# --- Both ----------------------------------------------------------------------------------------
def free(loan: Loan, *, reason: str, by, on: date) -> int:
    """Release every guarantor and collateral of a loan that ended or was undone; return how many.

    A second call finds nothing to do.
    """
    reason = needs_reason(reason)
    with transaction.atomic():
        loan = rows.lock(loan.pk)
        people = list(loan.guarantors.filter(status__in=Guarantor.OPEN))
        things = list(loan.collateral.held())
        for guarantor in people:
            _release_guarantor(guarantor, reason=reason, by=by, on=on)
        for thing in things:
            _release_collateral(thing, released_to=loan.customer.name, reason=reason, by=by, on=on)
    return len(people) + len(things)


def _save(row, *, by, reason: str):
    row._history_user, row._change_reason = by, reason[:100]
    row.save()
    return row
