"""Eighteen months in the life of the lender, told day by day through the real operations.

Everything that happens is an event with a moment; events plan further events. They happen in the
order of their moments, with the clock standing at each, and what lies after now never happens.
"""

import heapq
import itertools
from collections.abc import Callable
from datetime import date, datetime, timedelta
from decimal import ROUND_CEILING, Decimal
from functools import partial
from random import Random

from django.db import transaction

from lms import dates
from lms.backoffice.demo import names, people, plans, products
from lms.backoffice.demo.clock import StoryClock
from lms.backoffice.demo.money_in import Till
from lms.backoffice.demo.people import Office, Persona, Team
from lms.backoffice.demo.plans import Plan
from lms.closing.operations import close_day
from lms.loans.models import Collateral, Guarantor, Loan, LoanProduct
from lms.loans.models.terms import Surplus
from lms.loans.operations import lateness, lifecycle, security
from lms.loans.operations.night import charges
from lms.loans.operations.rows import lock as locked
from lms.money import SHILLING, ZERO, money

SEED = 254
NIGHT = 23.2
PENALTIES_EVERY = 21  # days; the rule catches up on the nights between
NIGHTS_CLOSED = 4
EVERY_LOAN = 10**9
PRICE_DECIDED = 10  # days ago
SECURED_FROM = Decimal(60_000)


class Story:
    """The events still to come, and those who act in them."""

    def __init__(self, *, now: datetime) -> None:
        self.now = now
        self.today = now.date()
        self.random = Random(SEED)  # noqa: S311  a story, not a secret
        self.wealth = Random(SEED)  # noqa: S311  apart, so that the story stays as it is
        self.clock = StoryClock(now)
        self.till = Till(self.random, today=self.today)
        self.office: Office
        self.products: dict[str, LoanProduct]
        self.undecided: list[Loan] = []
        self.firsts: list[tuple[Plan, Persona, date]] = []  # first loans, with the day they apply
        self.idle: dict[str, list[tuple[date, int, Persona]]] = {
            code: [] for code in people.BRANCHES
        }
        self._events: list[tuple[datetime, int, Callable[[date], None]]] = []
        self._count = itertools.count()

    # --- The order of things ---

    def moment(self, on: date, hour: float) -> datetime:
        """Return an instant on a day; today's hours are squeezed into what has passed of it."""
        midnight = dates.instant(on)
        length = self.now - midnight if on == self.today else timedelta(days=1)
        return midnight + length * hour / 24

    def plan(self, on: date, hour: float, act: Callable[[date], None]) -> None:
        """Let `act(day)` happen on a day that is not after today."""
        if on <= self.today:
            heapq.heappush(self._events, (self.moment(on, hour), next(self._count), act))

    def live_until(self, day: date | None = None) -> None:
        """Let everything happen that comes before `day`, or all of it."""
        while self._events and (day is None or self._events[0][0] < dates.instant(day)):
            self.clock.moment, _, act = heapq.heappop(self._events)
            act(self.clock.moment.date())

    # --- The beginning ---

    def begin(self) -> None:
        """Open the office and plan everyone's life."""
        first = self.today - timedelta(days=plans.OLDEST + 30)
        self.clock.moment = self.moment(first, 8)
        self.office = people.open_office()
        manager = self.office.teams["DEMONRB"].manager
        self.products = products.offer(by=self.office.admin, approver=manager, on=first)
        dearer = partial(
            products.raise_price, self.products["BIASHARA"], by=self.office.admin, approver=manager
        )
        self.plan(self.today - timedelta(days=PRICE_DECIDED), 10, lambda day: dearer(on=day))
        strangers = people.personas(self.random)
        waiting = {
            code: [persona for persona in strangers if persona.branch == code][::-1]
            for code in people.BRANCHES
        }
        for plan in plans.loans(self.random, today=self.today):
            code = "DEMOKSM" if self.random.random() < 0.38 else "DEMONRB"
            self._plan_loan(plan, code, waiting[code])
        for persona in waiting["DEMONRB"] + waiting["DEMOKSM"]:
            self._plan_registration(persona, self.today - timedelta(self.random.randint(0, 300)))
        night = first + timedelta(days=PENALTIES_EVERY)
        while night < self.today - timedelta(days=NIGHTS_CLOSED):
            self.plan(night, NIGHT, lambda day: charges.charge(1, EVERY_LOAN, on=day))
            night += timedelta(days=PENALTIES_EVERY)
        for ago in range(NIGHTS_CLOSED, 0, -1):
            self.plan(self.today - timedelta(days=ago), NIGHT, close_day)

    def _plan_loan(self, plan: Plan, code: str, waiting: list[Persona]) -> None:
        """Plan the application: of someone who has borrowed before, or of someone new."""
        applied_on = plan.disbursed_on - timedelta(days=self.random.randint(1, 3))
        if plan.fate in plans.PIPELINE:
            applied_on = plan.disbursed_on
        free = self.idle[code]
        if free and free[0][0] < applied_on and (self.random.random() < 0.22 or not waiting):
            persona = heapq.heappop(free)[2]
        else:
            persona = waiting.pop()
            known = applied_on - timedelta(days=self.random.randint(2, 9))
            self._plan_registration(persona, known, is_borrower=True)
            self.firsts.append((plan, persona, applied_on))
        self._afford(plan, persona)
        if plan.fate not in ("active", "late"):
            closed = plan.fate == "closed"
            length = plans.term_days(plan.product, plan.repayments) if closed else 3
            until = plan.disbursed_on + timedelta(days=length + 15)
            heapq.heappush(free, (until, next(self._count), persona))
        self.plan(applied_on, 9 + self.random.random() * 4, partial(self._apply, plan, persona))

    def _afford(self, plan: Plan, persona: Persona) -> None:
        """Let them earn, and score, enough for what they will borrow; a few only just."""
        months = max(plans.term_days(plan.product, plan.repayments) // 31, 1)
        a_month = int(plan.principal) // months * self.wealth.randint(20, 40) // 10
        limit = int(plan.principal) * self.wealth.randint(95, 160) // 100
        for field, wanted in (("net_income", a_month), ("score_limit", limit)):
            known = persona.details.get(field, ZERO)
            persona.details[field] = max(known, money(wanted, Decimal(500)))

    def _plan_registration(self, persona: Persona, on: date, *, is_borrower: bool = False) -> None:
        officer = self.office.teams[persona.branch].officer
        self.plan(on, 10, lambda day: people.register(persona, by=officer))
        roll = self.random.random()
        if is_borrower or roll < 0.62:
            manager = self.office.teams[persona.branch].manager
            accept = is_borrower or roll < 0.5
            self.plan(
                on + timedelta(days=1),
                11,
                lambda day: people.check_papers(persona, accept=accept, by=manager, on=day),
            )

    # --- From application to disbursement ---

    def _apply(self, plan: Plan, persona: Persona, on: date) -> None:
        team = self.office.teams[persona.branch]
        loan = lifecycle.apply(
            customer=persona.record,
            product=self.products[plan.product],
            principal=plan.principal,
            by=team.officer,
            on=on,
            terms={"number_of_repayments": plan.repayments},
            purpose=self.random.choice(names.PURPOSES[plan.product]),
        )
        self._secure(loan, plan, team, on)
        if plan.fate == "draft":
            return
        lifecycle.submit(loan, by=team.officer, on=on)
        if plan.fate == "submitted":
            self.undecided.append(loan)
            return
        decided_on = min(on + timedelta(days=1), plan.disbursed_on)
        self.plan(decided_on, 15, partial(self._decide, loan, plan, persona))

    def _decide(self, loan: Loan, plan: Plan, persona: Persona, on: date) -> None:
        manager = self.office.teams[persona.branch].manager
        if plan.fate == "rejected":
            reason = self.random.choice(names.REJECTIONS)
            lifecycle.reject(loan, reason=reason, by=manager, on=on)
            return
        if plan.fate == "withdrawn":
            reason = self.random.choice(names.WITHDRAWALS)
            lifecycle.withdraw(loan, reason=reason, by=manager, on=on)
            return
        if loan.principal > manager.approval_limit:
            manager = self.office.admin
        lifecycle.approve(loan, by=manager, on=on)
        if plan.fate == "rejected after approval":
            reason = "The employer did not confirm the check-off."
            self.plan(
                on + timedelta(days=2),
                9,
                lambda day: lifecycle.reject(loan, reason=reason, by=manager, on=day),
            )
        elif plan.fate != "approved":
            self.plan(plan.disbursed_on, 15.5, partial(self._disburse, loan, plan, persona))

    def _disburse(self, loan: Loan, plan: Plan, persona: Persona, on: date) -> None:
        by_bank = plan.principal >= Decimal(150_000)
        loan = lifecycle.disburse(
            loan,
            method="bank" if by_bank else "mpesa",
            reference=self.till.slip(on) if by_bank else self.till.receipt(on),
            by=self.office.teams[persona.branch].cashier,
            on=on,
        )
        self._plan_payments(loan, plan, persona)

    def _secure(self, loan: Loan, plan: Plan, team: Team, on: date) -> None:
        """Take a guarantor for larger loans, and what secures a logbook loan."""
        if plan.principal >= SECURED_FROM and self.idle[team.branch.code]:
            known = [each[2].record for each in self.idle[team.branch.code] if each[2].record]
            known = [each for each in known if each.pk != loan.customer_id]
            if known:
                guarantor = security.propose(
                    loan,
                    customer=self.random.choice(known),
                    amount=money(plan.principal / 2, SHILLING),
                    relationship=self.random.choice(("Neighbour", "Colleague", "Chama member")),
                    by=team.officer,
                    on=on,
                )
                security.consent(
                    guarantor,
                    means=Guarantor.Means.values[loan.pk % len(Guarantor.Means)],
                    consented_on=on,
                    by=team.officer,
                    on=on,
                )
        if plan.product in ("LOGBOOK", "KILIMO"):
            is_vehicle = plan.product == "LOGBOOK"
            plate = f"KD{self.random.choice('ABCDEFGHJ')} {self.random.randint(100, 999)}"
            collateral = Collateral(
                loan=loan,
                kind="vehicle" if is_vehicle else "machine",
                description="Toyota Probox" if is_vehicle else "Water pump and pipes",
                serial=f"{plate}{self.random.choice('ABCDEFGH')}" if is_vehicle else "",
                value=plan.principal * 2,
                valued_on=on,
                location="With the customer",
            )
            security.pledge(collateral, valuer="Regent Valuers", by=team.officer, on=on)
            if is_vehicle:
                security.register(
                    collateral,
                    mpsr_number=f"MPSR{loan.pk:08d}",
                    registered_on=on,
                    registration_expires_on=dates.add_months(on, 12),
                    by=team.officer,
                    on=on,
                )
                security.take_custody(
                    collateral,
                    location="Logbook in the branch safe",
                    received_on=on,
                    by=team.officer,
                    on=on,
                )

    # --- Repaying ---

    def _plan_payments(self, loan: Loan, plan: Plan, persona: Persona) -> None:
        """Plan a visit for each due that this customer will honour."""
        unpaid_from = self.today - timedelta(days=plan.late) if plan.late else self.today
        every = self.random.choice(plans.VISITS.get(plan.product, (1,)))
        slow = self.random.random() < 0.2
        rows = list(loan.repayments.order_by("number").values_list("number", "due_date"))
        honoured = [(number, due) for number, due in rows if due < unpaid_from or not plan.late]
        latest = max((due for _, due in honoured if due < self.today), default=None)
        for number, due in honoured:
            # Those who come less often bring several instalments, and all of them by now.
            if number % every and due < self.today and due != latest:
                continue
            wait = self.random.choice((-2, -1, 0, 0, 0, 0, 1, 1, 3))
            if slow:
                wait = self.random.choice((0, 2, 4, 6, 9, 13))
            if loan.surplus == Surplus.CREDIT:
                wait = max(wait, 0)  # what comes early would not pay this instalment
            day = due + timedelta(days=wait)
            if day >= self.today - timedelta(days=1) and plan.fate == "active":
                day = due  # the running ones are on time today
            if plan.late:
                day = min(day, self.today - timedelta(days=1))
            hour = 7 + self.random.random() * 14
            act = partial(self._pay, loan, persona, due, last=unpaid_from if plan.late else None)
            self.plan(max(day, loan.disbursed_on), hour, act)
        if plan.late and plan.product != "SOKO" and self.random.random() < 0.4:
            # A part of what is owed, and then nothing more.
            day = min(unpaid_from + timedelta(days=3), self.today)
            part = partial(self._pay, loan, persona, day, share=Decimal("0.3"))
            self.plan(day, 12, part)

    def _pay(
        self,
        loan: Loan,
        persona: Persona,
        due: date,
        on: date,
        *,
        share: Decimal = Decimal(1),
        last: date | None = None,
    ) -> None:
        """Let a customer pay what is due by `due` or today, in whole shillings.

        That includes what being late has cost by then. One who stops pays what fell due before
        `last`, and not a shilling more.
        """
        with transaction.atomic():
            lateness.bring_up_to(locked(loan.pk), on=on)
        rows = loan.repayments.unpaid().filter(due_date__lte=max(due, on))
        if last is not None:
            rows = rows.filter(due_date__lt=last)
        owed = sum((row.outstanding for row in rows), ZERO)
        amount = (owed * share).quantize(SHILLING, rounding=ROUND_CEILING)
        if amount <= 0:
            return
        roll = self.random.random()
        is_plain = last is not None or share != 1
        if roll < 0.07 and not is_plain:
            amount = (amount / 100).quantize(SHILLING, rounding=ROUND_CEILING) * 100
        elif roll < 0.14 and amount > 1_000 and not is_plain:
            amount = (amount * Decimal("0.6")).quantize(SHILLING)
            self.plan(on + timedelta(days=1), 17, partial(self._pay, loan, persona, due))
        self.till.take(
            loan,
            persona,
            amount,
            cashier=self.office.teams[persona.branch].cashier,
            moment=self.clock.moment,
        )
