"""Payouts by M-Pesa of the last days: some arrive, one does not, a batch waits for approval."""

import json
from datetime import date, timedelta
from functools import partial

from lms.backoffice.demo.story import Story
from lms.loans.models import Loan
from lms.mpesa.models import Callback
from lms.mpesa.simulator import Simulator
from lms.mpesa.simulator import payouts as safaricom
from lms.payouts import operations

UTILITY = 5_000_000  # KES that the loopback holds while the story is told
RESULT_AFTER = timedelta(seconds=9)
# Days ago, hour, and the habit of the receiver that decides.
PLANNED = ((1, 16.2, ""), (1, 16.4, "20"), (0, 11.3, ""))


class Payouts:
    """Plans the payouts of a story; `daraja` plays Safaricom for them."""

    def __init__(self, story: Story, daraja: Simulator) -> None:
        self.story = story
        self.daraja = daraja
        daraja.books.utility = max(daraja.books.utility, UTILITY)

    def plan(self) -> None:
        today = self.story.today
        for ago, hour, end in PLANNED:
            self.story.plan(today - timedelta(days=ago), hour, partial(self.send, end))
        self.story.plan(today, 23.7, self.prepare)

    def _approved(self, on: date, code: str = ""):
        loans = Loan.objects.filter(status=Loan.Status.APPROVED, approved_on__lte=on)
        loans = loans.select_related("customer", "branch", "refinances").order_by("pk")
        return [
            loan
            for loan in loans
            if not operations.offer(loan, on=on).refusal and loan.branch.code.startswith(code)
        ]

    def send(self, end: str, on: date) -> None:
        """Pay the oldest approved loan out; Safaricom does with it as `end` says."""
        loans = self._approved(on)
        if not loans:
            return
        moment = self.story.clock.moment
        loan = loans[0]
        cashier = self.story.office.teams[loan.branch.code].cashier
        payout = operations.send_loan(loan, by=cashier, on=on, at=moment)
        part = payout.parts.get()
        paid = self.daraja.paid.with_id(part.originator_id)
        safaricom.settle(self.daraja.books, paid, safaricom.HABITS.get(end, safaricom.Habit()))
        self.story.clock.moment = moment + RESULT_AFTER
        raw = json.dumps(safaricom.result_of(self.daraja, paid)).encode()
        self.story.till.deliver(Callback.Kind.B2C, raw, moment=self.story.clock.moment)

    def prepare(self, on: date) -> None:
        """Put the approved loans of Nairobi before a second person, to be paid out together."""
        loans = self._approved(on, "DEMONRB")[:3]
        if loans:
            operations.prepare_batch(
                loans,
                note="Payouts of today",
                by=self.story.office.teams["DEMONRB"].cashier,
                on=on,
                at=self.story.clock.moment,
            )
