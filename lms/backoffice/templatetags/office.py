"""How templates write money, rates, phones and lateness."""

from decimal import Decimal

from django import template
from django.conf import settings

from lms import money, phones
from lms.backoffice.badges import late_badge
from lms.reports.shape import shown

register = template.Library()


@register.filter
def kes(amount: Decimal | None) -> str:
    return money.kes(amount)


@register.filter
def amount(value: Decimal | None) -> str:
    """An amount in a table of KES; nothing at all reads better than 0.00."""
    return f"{value:,.2f}" if value else "-"


@register.filter
def signed(value: Decimal) -> str:
    """A change of an amount of KES, with its sign."""
    return f"{value:+,.2f}"


@register.filter
def charges(row) -> Decimal:
    """What is owed of an instalment beside its principal (KES)."""
    return row.outstanding - row.owing_of("principal")


@register.filter
def thousands(count: int) -> str:
    return f"{count:,}"


@register.filter
def percent(value: Decimal) -> str:
    return f"{value:,.2f}%"


@register.filter
def phone(number: str) -> str:
    return phones.show(number)


register.filter("late", late_badge)
register.filter("shown", shown)


@register.simple_tag
def lender() -> str:
    return settings.LENDER_NAME
