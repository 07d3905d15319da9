"""Our money at M-Pesa as Safaricom last told it, beside the books, and what should worry somebody.

Balances are of the whole lender. The books beside them are those of all branches, so only people
of head office are shown these.
"""

from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import NamedTuple

from django.conf import settings
from django.urls import reverse
from django.utils.timesince import timesince

from lms import dates
from lms.ledger import chart
from lms.ledger.balances import Balance, balances
from lms.money import ZERO, kes
from lms.mpesa import credentials
from lms.mpesa.models import Inquiry, MpesaBalance, Pull
from lms.mpesa.operations import our_shortcodes, pull_is_set_up

OLD_AFTER = timedelta(hours=1)
PULL_LATE_AFTER, PULL_URGENT_AFTER = timedelta(hours=6), timedelta(hours=40)
PAID_INTO = ("utility", "merchant")  # how the accounts begin that customers pay into


class Standing(NamedTuple):
    """One M-Pesa account: what it holds, and what the books hold of it (None: no account)."""

    balance: MpesaBalance
    codes: tuple[str, ...]
    booked: Decimal | None
    age: timedelta

    @property
    def difference(self) -> Decimal | None:
        """Safaricom's figure less that of the books: more than zero where they lack money."""
        return None if self.booked is None else self.balance.current - self.booked

    @property
    def is_old(self) -> bool:
        return self.age > OLD_AFTER

    @property
    def is_low(self) -> bool:
        return is_float(self.balance) and self.balance.current < settings.DARAJA_LOW_FLOAT


class Alarm(NamedTuple):
    """A sentence for the first page; `is_urgent` when something stands still already."""

    sentence: str
    is_urgent: bool = False
    page: str = "mpesa_mpesabalance"
    link_text: str = "See the balances"

    @property
    def link(self) -> str:
        return reverse(f"admin:{self.page}_changelist")


def codes_of(balance: MpesaBalance) -> tuple[str, ...]:
    """Return our accounts whose money lies in an M-Pesa account.

    Customers pay into the utility account of the paybill, which is 1020; payouts leave that of
    the shortcode that pays out, 1021, which is the same account where both are one shortcode.
    """
    paybill, paying_out = our_shortcodes()[0], our_shortcodes()[-1]
    name = balance.account.lower()
    codes: tuple[str, ...] = ()
    if name.startswith(PAID_INTO):
        if balance.shortcode == paybill:
            codes += (chart.MPESA_PAYBILL,)
        if balance.shortcode == paying_out:
            codes += (chart.MPESA_UTILITY,)
    elif name.startswith("working") and balance.shortcode == paying_out:
        codes = (chart.MPESA_WORKING,)
    return codes


def is_float(balance: MpesaBalance) -> bool:
    """Tell whether payouts are paid from this account."""
    return balance.account.lower().startswith("utility") and (
        balance.shortcode == our_shortcodes()[-1]
    )


def standings(rows, *, now: datetime, with_books: bool) -> list[Standing]:
    """Return how each balance stands at `now`; the books are read once for all of them."""
    rows = list(rows)
    books = balances(now.date()) if with_books and rows else {}
    found = []
    for row in rows:
        codes = codes_of(row)
        booked = sum((books.get(code, Balance()).net for code in codes), ZERO)
        found.append(
            Standing(row, codes, booked if with_books and codes else None, now - row.as_of)
        )
    return found


def latest(staff) -> list[Standing]:
    """Return how each account stood when Safaricom last told."""
    return standings(
        MpesaBalance.objects.latest_known(), now=dates.now(), with_books=staff.sees_all_branches
    )


def age_of(standing: Standing) -> str:
    """Return how old a balance is, in words."""
    if standing.age < timedelta(minutes=1):
        return "just now"
    return f"{timesince(dates.now() - standing.age, dates.now(), depth=1)} ago".replace("\xa0", " ")


def warnings(known: list[Standing], *, on: date) -> list[Alarm]:
    """Return what somebody should know of the float, its age, the password, missed payments."""
    found = [
        Alarm(
            f"The utility account of {each.balance.shortcode} holds {kes(each.balance.current)}, "
            f"less than {kes(Decimal(settings.DARAJA_LOW_FLOAT))}: bring float before paying out.",
            is_urgent=each.balance.current <= 0,
        )
        for each in known
        if each.is_low
    ]
    if credentials.is_set_up():
        found += filter(None, [_unanswered(known), _password(on)])
    if pull_is_set_up():
        found += filter(None, [_not_pulled(dates.now())])
    return found


def _not_pulled(now: datetime) -> Alarm | None:
    """Warn when missed payments were not pulled for long: in the end Safaricom forgets them."""
    last = Pull.objects.good().order_by("-until").values_list("until", flat=True).first()
    begun = Pull.objects.order_by("pk").values_list("started_at", flat=True).first()
    since = last or begun
    if since is None:
        return Alarm(
            "Missed M-Pesa payments were never pulled: register the number, then pull.",
            page="mpesa_pull",
            link_text="See the pulls",
        )
    age = now - since
    if age <= PULL_LATE_AFTER:
        return None
    ago = timesince(since, now, depth=1).replace("\xa0", " ")
    what = "were last pulled" if last else "could not be pulled for the first time"
    return Alarm(
        f"Missed M-Pesa payments {what} {ago} ago. What is older than 48 hours Safaricom no longer "
        "tells: it must be found on the statement.",
        is_urgent=age > PULL_URGENT_AFTER,
        page="mpesa_pull",
        link_text="See the pulls",
    )


def _unanswered(known: list[Standing]) -> Alarm | None:
    """Warn when the float is older than OLD_AFTER or was never told, and say why."""
    if known and not any(each.is_old for each in known if is_float(each.balance)):
        return None
    last = Inquiry.objects.filter(kind=Inquiry.Kind.BALANCE).first()
    if last is None or (not known and last.is_open):
        return None
    return Alarm(
        f"Safaricom does not tell the M-Pesa balances. To the last question: {last.finding}"
    )


def _password(on: date) -> Alarm | None:
    ends_on = credentials.password_ends_on()
    if ends_on is None or on < ends_on - credentials.WARN_BEFORE:
        return None
    change = "Set a new one in the organisation portal and in DARAJA_INITIATOR_PASSWORD."
    if on >= ends_on:
        return Alarm(
            f"The initiator's password ended on {dates.show(ends_on)}. {change}", is_urgent=True
        )
    return Alarm(f"The initiator's password ends on {dates.show(ends_on)}. {change}")
