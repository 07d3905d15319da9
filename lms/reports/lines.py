"""Sums over transfers that a long report needs around the lines it shows."""

from collections.abc import Iterable
from decimal import Decimal

from django.db.models import DecimalField, F, Q, QuerySet, Sum, Value
from django.db.models.functions import Coalesce

from lms import money
from lms.ledger.models import Transfer
from lms.money import ZERO
from lms.reports.shape import Window

AMOUNT = DecimalField(max_digits=18, decimal_places=2)


def signed_sum(moved: QuerySet[Transfer], codes: Iterable[str]) -> tuple[Decimal, Decimal]:
    """Return what these transfers debit to accounts of `codes`, and what they credit (KES)."""
    codes = list(codes)
    sums = moved.order_by().aggregate(
        debit=_sum(Q(debit__in=codes)), credit=_sum(Q(credit__in=codes))
    )
    return money.money(sums["debit"]), money.money(sums["credit"])


def _sum(which: Q):
    zero = Value(ZERO, output_field=AMOUNT)
    return money.exact(Coalesce(Sum(F("amount"), filter=which), zero))


def carried(moved: QuerySet[Transfer], codes: Iterable[str], window: Window) -> Decimal:
    """Return what the lines before the window add to these accounts, debits less credits (KES)."""
    if not window.offset:
        return ZERO
    before = Transfer.objects.filter(
        pk__in=moved.order_by("date", "pk")[: window.offset].values("pk")
    )
    debit, credit = signed_sum(before, codes)
    return debit - credit
