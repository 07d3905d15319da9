"""The live strip: what becomes of a prompt, on the very page from which it was sent.

It is there only while a prompt of the last minutes has something to tell, and asks the server again
only while one is open.
"""

import re
from collections import defaultdict
from datetime import timedelta
from decimal import Decimal
from typing import NamedTuple

from django.db.models import Model
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import path, reverse

from lms import dates, money
from lms.backoffice.admin.mpesa_story import PUSH_COLOURS, explained
from lms.customers.models import Customer
from lms.loans.models import Allocation, Repayment
from lms.money import ZERO, kes
from lms.mpesa.models import MpesaPayment
from lms.mpesa.result_codes import Explanation
from lms.payments.models import Payment

FOLLOWED_FOR = timedelta(minutes=10)
MOST_FOLLOWED = 5
KEY = re.compile(r"[0-9]{1,12}")
Status = MpesaPayment.Status


class Followed(NamedTuple):
    """One prompt as the strip shows it: its state and, when it was paid, what was placed."""

    push: MpesaPayment
    colour: str
    is_open: bool
    placed: str

    @property
    def explained(self) -> Explanation | None:
        return explained(self.push)


class Strip(NamedTuple):
    """What the strip shows, and where it asks for more; `url` is "" when nothing is open."""

    followed: list[Followed]
    url: str


def strip(request: HttpRequest, **about: int) -> Strip | None:
    """Return the strip for a loan or a customer (`loan=3`), or None when there is nothing to tell.

    Shows the prompts of the last FOLLOWED_FOR that this person may see.
    """
    if not request.user.has_perm("mpesa.view_mpesapayment"):
        return None
    recent = MpesaPayment.objects.seen_by(request.user).filter(
        requested_at__gte=dates.now() - FOLLOWED_FOR
    )
    if loan := about.get("loan"):
        recent = recent.filter(account=f"LN{loan:06d}")
    else:
        recent = recent.filter(customer_id=about["customer"])
    pushes = list(recent.select_related("payment").order_by("-pk")[:MOST_FOLLOWED])
    if not pushes:
        return None
    placed = _placed([push.payment for push in pushes if push.payment])
    followed = [
        Followed(
            push=push,
            colour=PUSH_COLOURS[push.get_status_display()],
            is_open=_is_open(push),
            placed=placed.get(push.payment_id, ""),
        )
        for push in pushes
    ]
    name, key = next(iter(about.items()))
    url = f"{reverse('admin:mpesa_mpesapayment_live')}?{name}={key}"
    return Strip(followed, url if any(one.is_open for one in followed) else "")


def _is_open(push: MpesaPayment) -> bool:
    """Tell whether more is to come: the fate, the receipt, or the booking of what was paid."""
    awaited = push.status in (Status.CONFIRMED, Status.PAID) and push.payment_id is None
    return push.is_open or awaited


def _placed(payments: list[Payment]) -> dict[int, str]:
    """Return for each payment where its money went, in words."""
    rows = (
        Allocation.objects.filter(payment__in=payments, reverses=None, reversed_by=None)
        .order_by()
        .values_list("payment_id", "repayment__loan_id")
        .annotate(sum=money.total("amount"))
    )
    parts: dict[int, list[str]] = defaultdict(list)
    on_loans: dict[int, Decimal] = defaultdict(lambda: ZERO)
    for payment, loan, amount in rows:
        parts[payment].append(f"{kes(amount)} on LN{loan:06d}")
        on_loans[payment] += amount
    found = {}
    for payment in payments:
        said = parts[payment.pk]
        if rest := money.money(payment.allocated - on_loans[payment.pk]):
            said.append(f"{kes(rest)} on fees or what was written off")
        if payment.credited:
            said.append(f"{kes(payment.credited)} held as credit")
        if payment.unallocated:
            said.append(f"{kes(payment.unallocated)} waits unallocated")
        found[payment.pk] = ", ".join(said)
    return found


class LiveView:
    """Gives the page of requests the address that the strip asks."""

    def get_urls(self):
        view = self.admin_site.admin_view(self.live_view)
        return [path("live/", view, name="mpesa_mpesapayment_live"), *super().get_urls()]

    def live_view(self, request: HttpRequest) -> HttpResponse:
        """The strip as it now is; empty, which takes it off the page, when all is told."""
        for name in ("loan", "customer"):
            key = request.GET.get(name, "")
            if KEY.fullmatch(key):
                shown = strip(request, **{name: int(key)})
                return render(request, "admin/mpesa/live.html", {"live": shown})
        raise Http404


class Live:
    """Gives the page of a loan, an instalment or a customer the strip of its prompts."""

    def changeform_view(self, request, object_id=None, form_url="", extra_context=None):
        about = _about(self.model, object_id)
        shown = strip(request, **about) if about else None
        return super().changeform_view(
            request, object_id, form_url, {"live": shown, **(extra_context or {})}
        )


def _about(model: type[Model], object_id: str | None) -> dict[str, int]:
    """Return whose prompts belong on the page of a record, by the key in its address."""
    if not KEY.fullmatch(object_id or ""):
        return {}
    key = int(object_id)
    if model is Repayment:
        key = Repayment.objects.filter(pk=key).values_list("loan_id", flat=True).first()
    if key is None:
        return {}
    return {"customer" if model is Customer else "loan": key}
