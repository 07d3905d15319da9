"""The proof of the books: each figure of the ledger beside the rows that it stands for.

Nothing is mended here. What is off is shown, kept with the night it was found in, and told to the
accountants: a difference means that something wrote past the operations.
"""

from collections.abc import Callable, Iterable
from datetime import date
from decimal import Decimal
from typing import NamedTuple

from django.conf import settings
from django.db.models import F, Q, QuerySet

from lms import dates, money
from lms.closing.models import DayClose, Proof
from lms.ledger import chart
from lms.ledger.balances import Balance, balances, by_account, by_branch
from lms.ledger.models import JournalEntry, Period, PeriodBalance, Transfer
from lms.ledger.profiles import codes_of, together
from lms.loans.models import LoanSnapshot
from lms.loans.operations.night import proving
from lms.loans.operations.night.proving import SHOWN, Wrong
from lms.loans.operations.rows import RECEIVABLES
from lms.money import ZERO, kes
from lms.notifications import operations as notifications
from lms.payments.models import Payment, Payout
from lms.staff.models import Staff
from lms.tills.models import Banking, DrawerMovement, TillTransfer
from lms.words import counted

SNAPSHOTS = "snapshots"  # the step of the night that they are of


class Proved(NamedTuple):
    """One proof: what the books say and what the rows say, in KES or as a number of rows."""

    name: str
    books: Decimal
    rows: Decimal
    detail: str = ""
    is_count: bool = False

    def show(self, amount: Decimal) -> str:
        """Return one of its figures as staff read it."""
        return f"{amount:,.0f}" if self.is_count else f"{amount:,.2f}"

    @property
    def difference(self) -> Decimal:
        return self.books - self.rows

    @property
    def holds(self) -> bool:
        return self.difference == 0


def prove(on: date | None = None) -> list[Proved]:
    """Prove the books as they stand now, or as they stood at the end of a day that is over.

    Of a past day the loans are proved by the snapshots of its night: what was posted for it
    afterwards is shown as a line of its own. The other rows keep no past, and are left out.
    """
    if on is not None:
        return _as_of(on)
    by_place = by_branch(date.max)
    found = by_account(by_place)
    booked = _booked(found)
    return [
        *_sides(found),
        *_carried(),
        *_loans(booked),
        *_receipts(booked, by_place),
        *_cash(booked),
        *_rows(),
        *_orphans(),
    ]


def run(*, on: date) -> int:
    """Prove the books as the last thing of a night, keep what was found, tell of what is off.

    A step of the night; returns how many proofs there are.
    """
    found = prove()
    Proof.objects.filter(day=on).delete()
    Proof.objects.bulk_create(
        Proof(
            day=on,
            position=position,
            name=proved.name,
            books=proved.books,
            rows=proved.rows,
            holds=proved.holds,
            is_count=proved.is_count,
            detail=proved.detail[:300],
            proved_at=dates.now(),
        )
        for position, proved in enumerate(found, 1)
    )
    if off := [proved for proved in found if not proved.holds]:
        _tell(off, on=on)
    return len(found)


def _tell(off: list[Proved], *, on: date) -> None:
    """Write to everybody who closes the books, once a night."""
    lines = [
        f"{proved.name}: off by {proved.show(proved.difference)}. {proved.detail}" for proved in off
    ]
    for person in Staff.objects.with_perm("ledger.close_period").exclude(email=""):
        notifications.tell(
            person.email,
            occasion="books_off",
            values={
                "staff": person.get_short_name() or person.username,
                "day": dates.show(on),
                "proofs": counted(len(off), "proof"),
                "list": "\n".join(lines),
                "lender": settings.LENDER_NAME,
            },
            key=f"books_off:{on}:{person.pk}",
            now=dates.now(),
        )


def _booked(found: dict[str, Balance]) -> Callable[[str], Decimal]:
    """Return what an account stands at in debit, with those that take its place for some loans."""
    found = together(found)
    return lambda code: found.get(code, Balance()).net


def _sides(found: dict[str, Balance]) -> Iterable[Proved]:
    yield Proved(
        "Debits and credits",
        sum((balance.debit for balance in found.values()), ZERO),
        sum((balance.credit for balance in found.values()), ZERO),
    )


def _carried() -> Iterable[Proved]:
    """Closed months carry what every transfer up to them adds up to."""
    last = Period.objects.closed().order_by("-last").first()
    if last is None:
        return
    carried = {
        (code, branch): debit - credit
        for code, branch, debit, credit in PeriodBalance.objects.filter(period=last).values_list(
            "account_id", "branch_id", "debit", "credit"
        )
    }
    added: dict[tuple[str, int], Decimal] = {}
    until = Transfer.objects.filter(date__lte=last.last).order_by()
    for debit, credit, branch, summed in until.values_list(
        "debit_id", "credit_id", "branch_id"
    ).annotate(sum=money.total("amount")):
        amount = money.money(summed)
        added[debit, branch] = added.get((debit, branch), ZERO) + amount
        added[credit, branch] = added.get((credit, branch), ZERO) - amount
    wrong = sorted(
        key for key in {*carried, *added} if carried.get(key, ZERO) != added.get(key, ZERO)
    )
    yield _none(
        "Balances carried by closed months",
        Wrong(len(wrong), wrong[:SHOWN]),
        lambda key: f"account {key[0]}",
    )


def _loans(booked: Callable[[str], Decimal]) -> Iterable[Proved]:
    owed = proving.owed()
    for name, account in RECEIVABLES.items():
        yield Proved(f"Loans: {name} owed", booked(account), owed[name])
    yield Proved("Loans: interest in suspense", -booked(chart.SUSPENDED_INTEREST),
                 proving.suspended())  # fmt: skip
    yield Proved("Loans paid off by new loans", booked(chart.REFINANCE_CLEARING), ZERO)


def _receipts(
    booked: Callable[[str], Decimal], by_place: dict[tuple[str, int], Balance]
) -> Iterable[Proved]:
    sums = Payment.objects.standing().aggregate(
        unallocated=money.total(F("amount") - F("allocated") - F("credited") - F("refunded")),
        credited=money.total("credited"),
    )
    yield Proved("Unallocated receipts", -booked(chart.UNALLOCATED), sums["unallocated"])
    yield Proved("Customer credit", -booked(chart.CUSTOMER_CREDIT), sums["credited"])
    yield _none(
        "Branches that hold money others received",
        _held_elsewhere(by_place),
        lambda key: f"branch {key}",
    )
    promised = Payout.objects.on_their_way().aggregate(sum=money.total(F("amount") - F("arrived")))
    yield Proved("Payouts on their way", -booked(chart.PAYOUTS_ON_THEIR_WAY), promised["sum"])
    yield Proved("Funds held for chamas", -booked(chart.CHAMA_FUNDS), ZERO)


def _held_elsewhere(by_place: dict[tuple[str, int], Balance]) -> Wrong:
    """Return the branches that hold other money of customers than they received.

    Of an account that is right over all branches: the others are told of already.
    """
    differences: dict[str, dict[int, Decimal]] = {
        code: {branch: balance.net for (held, branch), balance in by_place.items() if held == code}
        for code in (chart.UNALLOCATED, chart.CUSTOMER_CREDIT)
    }
    waiting = money.total(F("amount") - F("allocated") - F("credited") - F("refunded"))
    received = Payment.objects.standing().order_by().values_list("received_in")
    for branch, *sums in received.annotate(waits=waiting, credit=money.total("credited")):
        for held, amount in zip(differences.values(), sums, strict=True):
            held[branch] = held.get(branch, ZERO) + money.money(amount)
    wrong = sorted(
        {
            branch
            for held in differences.values()
            if not sum(held.values(), ZERO)
            for branch, amount in held.items()
            if amount
        }
    )
    return Wrong(len(wrong), wrong[:SHOWN])


def _cash(booked: Callable[[str], Decimal]) -> Iterable[Proved]:
    held, handed, banked = (
        rows.aggregate(sum=money.total("amount"))["sum"]
        for rows in (
            DrawerMovement.objects.all(),
            TillTransfer.objects.waiting(),
            Banking.objects.in_transit(),
        )
    )
    yield Proved("Cash in tills", booked(chart.TILL_CASH), held)
    yield Proved("Cash in transit", booked(chart.CASH_IN_TRANSIT), handed + banked)
    yield Proved("Owed between branches", booked(chart.BETWEEN_BRANCHES), ZERO)


def _rows() -> Iterable[Proved]:
    yield _none("Positions and their instalments", proving.wrong_positions(), _loan)
    yield _none(
        "Instalments and their allocations",
        proving.wrong_instalments(),
        lambda key: f"instalment {key}",
    )
    yield _none("Payments and what they paid", proving.wrong_payments(), lambda key: f"RC{key:06d}")


def _orphans() -> Iterable[Proved]:
    headers = Q(debit__is_header=True) | Q(credit__is_header=True)
    for name, rows, word in (
        ("Entries without a transfer", JournalEntry.objects.filter(transfers=None), "entry"),
        (
            "Transfers of another day than their entry",
            Transfer.objects.exclude(date=F("entry__date")),
            "transfer",
        ),
        ("Transfers on a header account", Transfer.objects.filter(headers), "transfer"),
        ("Receipts that were not booked", Payment.objects.filter(entry=None), "receipt"),
        ("Payouts that were not booked", Payout.objects.filter(entry=None), "payout"),
    ):
        yield _none(name, _found(rows), lambda key, word=word: f"{word} {key}")


def _none(name: str, wrong: Wrong, told: Callable[..., str]) -> Proved:
    """Return the proof that nothing is wrong: how many are, and the first of them."""
    shown = ", ".join(told(key) for key in wrong.first)
    more = wrong.number - len(wrong.first)
    detail = shown + (f" and {more:,} more" if more else "")
    return Proved(name, Decimal(wrong.number), ZERO, detail, is_count=True)


def _found(rows: QuerySet) -> Wrong:
    return Wrong(rows.count(), list(rows.order_by("pk").values_list("pk", flat=True)[:SHOWN]))


def _loan(key: int) -> str:
    return f"LN{key:06d}"


def _as_of(on: date) -> list[Proved]:
    """Prove a past day: the sides of the books, and the loans by the snapshots of its night."""
    found = balances(on)
    booked = _booked(found)
    proved = [*_sides(found), *_carried()]
    night = DayClose.objects.filter(day=on, step=SNAPSHOTS, status=DayClose.Status.DONE).first()
    if night is None:
        return proved
    taken = LoanSnapshot.objects.filter(day=on)
    sums = taken.order_by().aggregate(**{name: money.total(name) for name in RECEIVABLES})
    later = Transfer.objects.filter(date__lte=on, entry__posted_at__gt=night.finished_at).order_by()
    for name, account in RECEIVABLES.items():
        codes = codes_of(account)
        since = (
            later.filter(debit__in=codes).aggregate(sum=money.total("amount"))["sum"]
            - later.filter(credit__in=codes).aggregate(sum=money.total("amount"))["sum"]
        )
        proved.append(
            Proved(
                f"Loans: {name} owed",
                booked(account) - since,
                money.money(sums[name]),
                f"{kes(since)} was posted for it after the night" if since else "",
            )
        )
    return proved
