"""How money reaches the demo's lender: over the counter, by bank, and through the paybill.

Payments of the last two days by M-Pesa come as the callbacks that Safaricom would have sent, stored
and applied like any other; older ones are posted as staff would have posted them.
"""

import json
import string
from datetime import date, datetime, timedelta
from decimal import Decimal
from random import Random

from django.conf import settings

from lms import jobs, routing
from lms.backoffice.demo.people import Persona
from lms.loans.models import Loan
from lms.mpesa import operations as mpesa
from lms.mpesa.models import Callback
from lms.mpesa.simulator import bodies
from lms.mpesa.simulator.books import Taken
from lms.payments.models import Payment

SIGNS = string.ascii_uppercase + string.digits
DAYS_OF_MONTH = string.digits[1:] + string.ascii_uppercase
HEADERS = {"Content-Type": "application/json", "User-Agent": "Loopback Daraja"}


class Till:
    """Takes money and makes up the references that come with it."""

    def __init__(self, random: Random, *, today: date) -> None:
        self.random = random
        self.inbox_from = today - timedelta(days=1)
        self._used: set[str] = set()

    def receipt(self, on: date) -> str:
        """Return an M-Pesa receipt of that day that was not used: year, month, day, seven signs.

        Source: Safaricom's numbering since 2007, of which S is 2024 and T 2025.
        """
        year = string.ascii_uppercase[(ord("S") - ord("A") + on.year - 2024) % 26]
        day = year + string.ascii_uppercase[on.month - 1] + DAYS_OF_MONTH[on.day - 1]
        return self._new(lambda: day + "".join(self.random.choices(SIGNS, k=7)))

    def slip(self, on: date) -> str:
        """Return the number of a bank transfer or deposit slip that was not used."""
        return self._new(lambda: f"FT{on:%y%j}{self.random.randint(10_000, 99_999)}")

    def cheque(self) -> str:
        return self._new(lambda: f"CHQ{self.random.randint(1, 999_999):06d}")

    def _new(self, make) -> str:
        while (reference := make()) in self._used:
            continue
        self._used.add(reference)
        return reference

    def take(
        self, loan: Loan, persona: Persona, amount: Decimal, *, cashier, moment: datetime
    ) -> None:
        """Take a payment of `amount` whole KES on a loan, the way this customer pays."""
        on = moment.date()
        if persona.pays_by == "mpesa" and on >= self.inbox_from:
            self.confirm(loan.number, amount, persona, moment=moment)
            return
        by_phone = persona.pays_by == "mpesa"
        customer = persona.record
        routing.take(
            method=persona.pays_by,
            amount=amount,
            reference={
                "mpesa": lambda: self.receipt(on),
                "bank": lambda: self.slip(on),
                "cheque": self.cheque,
                "cash": lambda: None,
            }[persona.pays_by](),
            value_date=on,
            account=loan.number,
            payer_name=customer.name.upper() if by_phone else customer.name,
            payer_phone=customer.phone,
            by=None if by_phone else cashier,
            on=on,
        )

    def confirm(
        self,
        account: str,
        amount: Decimal,
        persona: Persona,
        *,
        moment: datetime,
        shortcode: str | None = None,
    ) -> tuple[Callback, bytes]:
        """Let Safaricom confirm a payment to the paybill, and apply what it sent."""
        customer = persona.record
        taken = Taken(self.receipt(moment.date()), int(amount), account, customer.phone, moment)
        body = bodies.c2b(
            taken, shortcode=shortcode or str(settings.DARAJA_SHORTCODE), version=2, balance=None
        )
        first, _, rest = customer.name.upper().partition(" ")
        body |= {"FirstName": first, "MiddleName": "", "LastName": rest}
        raw = json.dumps(body).encode()
        return self.deliver(Callback.Kind.CONFIRMATION, raw, moment=moment), raw

    def deliver(self, kind: str, raw: bytes, *, moment: datetime) -> Callback:
        """Store what Daraja sent and run the job that applies it."""
        key = mpesa.record_callback(
            kind=kind, body=raw, headers=HEADERS, remote_addr="127.0.0.1", at=moment
        )
        jobs.apply_callback(key)
        return Callback.objects.get(pk=key)

    def stray(
        self, account: str, amount: int, payer: str, *, on: date, branch, phone: str = ""
    ) -> Payment:
        """Take money by M-Pesa under an account number that no loan has.

        `phone` is as Safaricom sends it: plain, masked or hashed.
        """
        return routing.take(
            method="mpesa",
            amount=Decimal(amount),
            reference=self.receipt(on),
            value_date=on,
            account=account,
            payer_name=payer,
            payer_phone=phone,
            branch=branch,
            by=None,
            on=on,
        )
