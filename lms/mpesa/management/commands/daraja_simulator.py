"""Play Safaricom on this machine."""

import threading
from datetime import date, timedelta
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db.models import Q

from lms import dates, phones
from lms.dates import EAT
from lms.ledger import chart
from lms.ledger.balances import Balance, balances
from lms.mpesa.simulator import Simulator
from lms.mpesa.simulator.books import Taken
from lms.payments.models import Payment

NOBODYS_PHONE = "254700000000"
HABITS = """
What a customer does with an STK push is told by the last two digits of the phone:
  00 has too little money      01 cancels            02 does not answer
  03 pays, callback is lost    04 callback twice     05 pays after 8 seconds more
  06 callback in odd types     07 fails, then pays   08 pays, nothing is ever sent
Everyone else pays. A customer who pays the paybill by hand:
  curl -d '{"account": "LN000001", "amount": 500, "phone": "254712345678"}' URL/_control/pay
The money taken so far:
  curl URL/_control/sent
What becomes of the next question about balances or a receipt, reversal or pull (timeout, drop,
twice, odd, html; reversed for a receipt; late for a reversal: it fails, then works); receipts that
end in Q1 to Q5 bring the first five by themselves:
  curl -d '{"answer": "timeout"}' URL/_control/next
What goes wrong with callbacks (duplicate, drop, reorder, delay, hang_up) and with requests
(timeout, http500, html), how often and in an order that the seed decides; a rate left out is 0:
  curl -d '{"seed": 7, "duplicate": 0.2, "drop": 0.1}' URL/_control/faults
"""


def is_ours(credential: str) -> bool:
    """Tell whether a credential is the one in the settings; an encrypted one cannot be read."""
    return settings.DARAJA_SECURITY_CREDENTIAL in ("", credential)


def taken_before(on: date) -> list[Taken]:
    """Return the latest payments of the books, and those nobody claimed, as Safaricom has them."""
    lately = Q(value_date__gt=on - timedelta(days=7)) | Q(status=Payment.Status.UNALLOCATED)
    paid = Payment.objects.standing().filter(lately, method=Payment.Method.MPESA)
    latest = list(paid.exclude(reference=None).order_by("-pk")[:1000])
    return [
        Taken(
            receipt=payment.reference,
            amount=int(payment.amount),
            account=payment.account,
            phone=phones.parse(payment.payer_phone) or NOBODYS_PHONE,
            at=payment.received_at.astimezone(EAT),
        )
        for payment in reversed(latest)
        if payment.amount == int(payment.amount)
    ]


def money_at_start(text: str) -> dict[str, Any]:
    """Return what the accounts hold, in whole shillings, told or as the books have it today.

    The books also say what was taken, which is in the utility account.
    """
    if text != "books":
        return {"utility": int(text)}
    took = taken_before(dates.today())
    books = balances(dates.today())
    paybill, utility, working = (
        books.get(code, Balance()).net
        for code in (chart.MPESA_PAYBILL, chart.MPESA_UTILITY, chart.MPESA_WORKING)
    )
    kept = sum(taken.amount for taken in took)
    return {"utility": int(paybill + utility) - kept, "working": int(working), "took": took}


class Command(BaseCommand):
    help = (
        "Play Safaricom's Daraja on this machine until Ctrl-C: OAuth, STK push and query, C2B, "
        "account balance, transaction status, reversal, pull. "
        "It checks requests as strictly as Safaricom and posts callbacks to the office. Keys, "
        "paybill and callback address are those of the settings; set DARAJA_URL to its address."
    )

    def add_arguments(self, parser) -> None:
        parser.add_argument("--port", type=int, default=8010, help="Port to listen on (8010).")
        parser.add_argument(
            "--callback-delay",
            type=float,
            default=2,
            metavar="SECONDS",
            help="How long a customer takes to answer a prompt (2).",
        )

        parser.add_argument(
            "--utility",
            type=money_at_start,
            default="0",
            metavar="KES|books",
            help="What the utility account holds at the start, in whole shillings (0); “books” for "
            "what the books say of 1020 to 1022, and the payments in them.",
        )

    def handle(
        self, *, port: int, callback_delay: float, utility: dict[str, Any], **options
    ) -> None:
        office = f"{settings.DARAJA_CALLBACK_BASE.rstrip('/')}/daraja/"
        door = f"{office}{settings.DARAJA_CALLBACK_SECRET}/"
        told = bool(settings.DARAJA_CALLBACK_SECRET)
        try:
            simulator = Simulator(
                port=port,
                shortcode=str(settings.DARAJA_SHORTCODE),
                passkey=settings.DARAJA_PASSKEY,
                consumer_key=settings.DARAJA_CONSUMER_KEY,
                consumer_secret=settings.DARAJA_CONSUMER_SECRET,
                callback_delay=callback_delay,
                confirmation_url=f"{door}confirmation/" if told else "",
                validation_url=f"{door}validation/" if told else "",
                initiator=settings.DARAJA_INITIATOR,
                opens=is_ours,
                b2c_shortcode=str(settings.DARAJA_B2C_SHORTCODE),
                puller=settings.DARAJA_PULL_NUMBER,
                **utility,
            )
        except OSError as error:
            raise CommandError(f"Port {port} cannot be used: {error.strerror}.") from error
        with simulator:
            self.stdout.write(f"Loopback Daraja at {simulator.url}, callbacks to {office}…")
            self.stdout.write(HABITS.replace("URL", simulator.url))
            self.stdout.flush()
            try:
                threading.Event().wait()
            except KeyboardInterrupt:
                self.stdout.write("Stopped.")
