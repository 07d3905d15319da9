"""Questions to the books: balances as of a day, movements between days, statements of accounts.

A balance starts from the sums that the last closed month carries and adds what came after, so it
costs the same however long the history is.
"""

from collections import defaultdict
from collections.abc import Collection
from datetime import date, timedelta
from decimal import Decimal
from typing import NamedTuple

from django.db.models import Q, QuerySet

from lms import money
from lms.ledger.models import JournalEntry, Period, PeriodBalance, Transfer
from lms.money import ZERO

# The kind of the entries that move a year's result to retained earnings.
YEAR_END = "year_end"
YEAR_END_KINDS = (YEAR_END, f"{YEAR_END}_reversal")
ONE_DAY = timedelta(days=1)


class Balance(NamedTuple):
    """The sums of both sides of an account, in KES."""

    debit: Decimal = ZERO
    credit: Decimal = ZERO

    @property
    def net(self) -> Decimal:
        """Debits less credits: negative where the account stands in credit."""
        return self.debit - self.credit

    def plus(self, other: "Balance") -> "Balance":
        return Balance(self.debit + other.debit, self.credit + other.credit)

    def less(self, other: "Balance") -> "Balance":
        return Balance(self.debit - other.debit, self.credit - other.credit)


class Statement(NamedTuple):
    """What moved an account between two days: its balance before them, and the transfers."""

    opening: Balance
    transfers: QuerySet


Branches = Collection[int] | None


def balances(on: date, *, branch_ids: Branches = None) -> dict[str, Balance]:
    """Return the balance of each account that was ever posted to, at the end of `on`."""
    return by_account(by_branch(on, branch_ids=branch_ids))


def by_branch(on: date, *, branch_ids: Branches = None) -> dict[tuple[str, int], Balance]:
    """Return the balance of each account in each branch, at the end of `on`."""
    period = _carried_by(on)
    found = defaultdict(Balance)
    if period:
        rows = _of(PeriodBalance.objects.filter(period=period), branch_ids)
        for code, branch_id, debit, credit in rows.values_list(
            "account_id", "branch_id", "debit", "credit"
        ):
            found[code, branch_id] = Balance(debit, credit)
    _add(found, _of(_between(period.last + ONE_DAY if period else None, on), branch_ids))
    return dict(found)


def movements(
    first: date, last: date, *, branch_ids: Branches = None, with_year_end: bool = False
) -> dict[str, Balance]:
    """Return what moved on each account from `first` to `last`, both counted.

    The entries that close a year are left out, so that the income and the expense of a closed
    year still show; `with_year_end` counts them, as a balance does.
    """
    return by_account(
        movements_by_branch(first, last, branch_ids=branch_ids, with_year_end=with_year_end)
    )


def movements_by_branch(
    first: date, last: date, *, branch_ids: Branches = None, with_year_end: bool = False
) -> dict[tuple[str, int], Balance]:
    """Return what moved on each account in each branch from `first` to `last`, as `movements`."""
    found = defaultdict(Balance)
    _add(found, _of(_between(first, last), branch_ids))
    if not with_year_end:
        days = [date(year, 12, 31) for year in range(first.year, last.year + 1)]
        endings = JournalEntry.objects.filter(
            date__in=[day for day in days if first <= day <= last], kind__in=YEAR_END_KINDS
        )
        closings = defaultdict(Balance)
        _add(closings, _of(Transfer.objects.filter(entry__in=endings), branch_ids))
        for key, balance in closings.items():
            found[key] = found[key].less(balance)
    return {key: balance for key, balance in found.items() if any(balance)}


def balance(code: str, on: date, *, branch_ids: Branches = None) -> Balance:
    """Return the balance of one account at the end of `on`."""
    period = _carried_by(on)
    found = Balance()
    if period:
        rows = _of(PeriodBalance.objects.filter(period=period, account_id=code), branch_ids)
        for debit, credit in rows.values_list("debit", "credit"):
            found = found.plus(Balance(debit, credit))
    rows = _of(_between(period.last + ONE_DAY if period else None, on), branch_ids)
    debit, credit = (
        money.money(rows.filter(**{side: code}).aggregate(sum=money.total("amount"))["sum"])
        for side in ("debit", "credit")
    )
    return found.plus(Balance(debit, credit))


def statement(code: str, first: date, last: date, *, branch_ids: Branches = None) -> Statement:
    """Return the balance of an account before `first`, and its transfers up to `last` in order."""
    rows = _of(_between(first, last), branch_ids).filter(Q(debit=code) | Q(credit=code))
    return Statement(
        balance(code, first - ONE_DAY, branch_ids=branch_ids),
        rows.select_related("entry", "debit", "credit", "branch").order_by("date", "pk"),
    )


def _carried_by(day: date) -> Period | None:
    """Return the last closed month that was over at the end of `day`."""
    return Period.objects.closed().filter(last__lte=day).order_by("-first").first()


def _between(first: date | None, last: date) -> QuerySet:
    rows = Transfer.objects.filter(date__lte=last).order_by()
    return rows.filter(date__gte=first) if first else rows


def _of(rows: QuerySet, branch_ids: Branches) -> QuerySet:
    return rows if branch_ids is None else rows.filter(branch_id__in=branch_ids)


def _add(found: dict[tuple[str, int], Balance], transfers: QuerySet) -> None:
    """Add the sums of transfers to both their accounts, read in one pass."""
    sums = transfers.values_list("debit_id", "credit_id", "branch_id").annotate(
        sum=money.total("amount")
    )
    for debit, credit, branch_id, summed in sums:
        amount = money.money(summed)
        found[debit, branch_id] = found[debit, branch_id].plus(Balance(amount, ZERO))
        found[credit, branch_id] = found[credit, branch_id].plus(Balance(ZERO, amount))


def by_account(found: dict[tuple[str, int], Balance]) -> dict[str, Balance]:
    """Return balances of accounts in branches as those of accounts."""
    sums: dict[str, Balance] = defaultdict(Balance)
    for (code, _), one in found.items():
        sums[code] = sums[code].plus(one)
    return dict(sums)
