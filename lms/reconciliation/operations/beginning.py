"""Begin a reconciliation, state its balances, take back one that was begun by mistake."""

from datetime import date, timedelta
from decimal import Decimal

from django.db import transaction

from lms import dates
from lms.errors import Refused
from lms.ledger import chart
from lms.ledger.models import Account
from lms.reconciliation.models import MPESA_ACCOUNTS, BankLayout, Reconciliation

Status = Reconciliation.Status


def accounts():
    """Return the accounts that have statements: M-Pesa, the bank, and those of saved layouts."""
    codes = {*MPESA_ACCOUNTS, chart.BANK, *BankLayout.objects.values_list("account", flat=True)}
    return Account.objects.filter(code__in=codes).order_by("code")


def locked(reconciliation: Reconciliation, *, must_be_open: bool = True) -> Reconciliation:
    """Return the reconciliation under lock, with its account, inside the caller's transaction.

    One at a time works on an account, so that no line or entry is matched twice. Raises Refused
    when it is signed off and must be open.
    """
    Account.objects.select_for_update(no_key=True).get(pk=reconciliation.account_id)
    found = Reconciliation.objects.select_for_update(no_key=True).get(pk=reconciliation.pk)
    if must_be_open and not found.is_open:
        raise Refused(f"{found} is signed off: ask for it to be reopened first.")
    return found


def begin(
    *,
    account: Account,
    first: date,
    last: date,
    by,
    on: date,
    opening: Decimal | None = None,
    closing: Decimal | None = None,
) -> Reconciliation:
    """Begin the reconciliation of an account over a period, both days counted.

    The opening balance is the closing balance of the period before. Raises Refused when the
    period does not follow on that one, or is not over as far as it reaches.
    """
    if last < first:
        raise Refused("The period ends before it begins.", field="last")
    if last > on:
        raise Refused(f"The period may end today, {dates.show(on)}, at the latest.", field="last")
    with transaction.atomic():
        Account.objects.select_for_update(no_key=True).get(pk=account.pk)
        before = Reconciliation.objects.of(account.pk).last()
        if before is not None and first != before.last + timedelta(days=1):
            raise Refused(
                f"{account.name} is reconciled up to {dates.show(before.last)}: begin on "
                f"{dates.show(before.last + timedelta(days=1))}.",
                field="first",
            )
        made = Reconciliation(
            account=account,
            first=first,
            last=last,
            opening=before.closing if before and before.closing is not None else opening,
            closing=closing,
            made_by=by,
        )
        made._history_user, made._change_reason = by, "Begun"
        made.save()
    return made


def set_balances(
    reconciliation: Reconciliation,
    *,
    opening: Decimal,
    closing: Decimal,
    reason: str,
    by,
    on: date,
) -> Reconciliation:
    """Write down the balances of a statement whose lines do not tell them. Raises Refused."""
    if not reason.strip():
        raise Refused("Say where the balances are from: it stays on the record.", field="reason")
    with transaction.atomic():
        reconciliation = locked(reconciliation)
        keep_balances(reconciliation, opening, closing, by=by, reason=reason)
    return reconciliation


def keep_balances(
    reconciliation: Reconciliation,
    opening: Decimal | None,
    closing: Decimal | None,
    *,
    by,
    reason: str,
) -> None:
    """Save the balances where they change, under the lock that the caller holds."""
    if (reconciliation.opening, reconciliation.closing) == (opening, closing):
        return
    reconciliation.opening, reconciliation.closing = opening, closing
    reconciliation._history_user, reconciliation._change_reason = by, reason[:100]
    reconciliation.save(update_fields=["opening", "closing"])


def remove(reconciliation: Reconciliation, *, reason: str, by, on: date) -> None:
    """Take back a reconciliation that was begun by mistake; its history stays.

    Raises Refused once it has files or matches, after it was signed off for the first time, or
    when a later period follows on it.
    """
    if not reason.strip():
        raise Refused("Give the reason: it stays on the record.", field="reason")
    with transaction.atomic():
        reconciliation = locked(reconciliation)
        if reconciliation.files.exists() or reconciliation.matches.exists():
            raise Refused("Statements were brought or lines matched: it stays on the record.")
        if reconciliation.books_before is not None:
            raise Refused("It was signed off once: it stays on the record.")
        if Reconciliation.objects.filter(
            account=reconciliation.account_id, first__gt=reconciliation.last
        ).exists():
            raise Refused("A later period follows on this one: take that one back first.")
        reconciliation._history_user, reconciliation._change_reason = by, reason[:100]
        reconciliation.delete()
