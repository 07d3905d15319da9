"""What does not go by the book: waivers, bounced cheques, stray money, prompts nobody answers.

Each incident is an event of the story, done by who would do it.
"""

import json
from datetime import date, timedelta
from decimal import ROUND_CEILING
from functools import partial
from random import Random

from django.conf import settings

from lms import dates, jobs, phones, routing
from lms.backoffice.demo.story import Story
from lms.closing import reminders
from lms.ledger import chart
from lms.ledger.balances import Balance, balances
from lms.loans.models import Loan, Repayment
from lms.loans.operations import collection, lifecycle, relief
from lms.money import SHILLING
from lms.mpesa import operations as mpesa
from lms.mpesa.models import Callback, MpesaPayment
from lms.mpesa.operations import reversals
from lms.mpesa.simulator import Simulator, bodies
from lms.mpesa.simulator.books import Taken
from lms.payments.models import Payment
from lms.staff.models import Staff

UNBOOKED_CHARGE = 165  # KES
WAIVER_REASONS = (
    "The customer was in hospital; the letter is on file.",
    "Flood at the market: charges of the week given up.",
    "The customer paid on time, the bank was late.",
)
STRAYS = (
    ("RENT", 4_500, "JOHN MWANGI"),
    ("LN99812", 2_000, "ROSE ATIENO"),
    ("0712345678", 1_500, "PETER KIOKO"),
    ("SHOP 14", 3_200, "AMINA HASSAN"),
    ("LN 0OO17", 1_100, "KEVIN BARASA"),
    ("LOAN", 5_000, "FAITH CHEBET"),
    ("JANE", 850, "JANE WAIRIMU"),
)


def masked(phone: str) -> str:
    """Return a phone as version 2 of Safaricom's C2B shows it."""
    return f"{phone[:4]} ***** {phone[-3:]}"


# Money of customers who did not type their loan number: account and phone, of the loan.
FORGETFUL = (
    lambda loan: ("LIPA LOAN", loan.customer.phone),
    lambda loan: (loan.customer.id_number, masked(loan.customer.phone)),
    lambda loan: (f"LN9{loan.pk:05d}", phones.hashed(loan.customer.phone)),
    lambda loan: (phones.show(loan.customer.phone), ""),
    lambda loan: ("", masked(loan.customer.phone)),
    lambda loan: ("SHULE", loan.customer.phone),
)


class Incidents:
    """Plans the incidents of a story; `daraja` plays Safaricom for the prompts."""

    def __init__(self, story: Story, daraja: Simulator) -> None:
        self.story = story
        self.daraja = daraja
        self.random = Random(story.random.random())  # noqa: S311
        self._prompted: set[int] = set()
        self._forgetful: set[int] = set()

    def plan(self) -> None:
        """Plan everything unusual of the last year, and the inbox of the last two days."""
        today = self.story.today
        for days in (200, 170, 120, 90, 64, 47, 30, 19, 11, 6, 2):
            self._on(days, 15, self.waive)
        self._on(52, 10, self.cancel_instalment)
        self._on(9, 10, self.cancel_instalment)
        for days in (140, 35, 8):
            self._on(days, 16, self.bounce_cheque)
        self._on(13, 9.5, self.take_back)
        for days in (70, 28, 4):
            self._on(days, 16.5, self.use_credit)
        self._on(1, 9, self.send_back)
        for number, stray in enumerate(STRAYS):
            self._on(number * 5 + 1, 13 + number / 10, partial(self.stray, stray))
        self._on(0, 12, self.match_stray)
        for number, way in enumerate(FORGETFUL):
            self._on(number % 2, 14 + number / 10, partial(self.forget_number, way))
        self._on(1, 14.5, partial(self.give_back, "RENT", is_approved=True))
        self._on(1, 15, partial(self.give_back, "SHOP 14", is_approved=False))
        for number, fate in enumerate(PROMPTS):
            day = today - timedelta(days=number % 2)
            hour = 23.9 if fate == "open" else 9 + number * 0.7
            self.story.plan(day, hour, partial(self.prompt, fate))
        for number, oddity in enumerate((self.twice, self.unreadable, self.other_paybill)):
            self._on(1, 18 + number, oddity)
            self._on(0, 18 + number, oddity)
        self._on(0, 21, self.ask_first)
        self._on(0, 23.8, self.tell_balances)
        for days in (1, 0):
            self._on(days, 8, self.remind)
            self._on(days, 22, self.send_receipts)

    def _on(self, days_ago: int, hour: float, act) -> None:
        self.story.plan(self.story.today - timedelta(days=days_ago), hour, act)

    def _manager(self, loan: Loan) -> Staff:
        return self.story.office.teams[loan.branch.code].manager

    # --- Relief ---

    def waive(self, on: date) -> None:
        """Give up the penalties of the latest instalment that has some."""
        late = Repayment.objects.overdue(on=on).filter(penalties__gt=0, penalties_waived=0)
        row = late.select_related("loan__branch").order_by("-due_date", "pk").first()
        if row is not None and row.owing_of("penalties"):
            relief.waive(
                row,
                amount=None,
                component="penalties",
                reason=self.random.choice(WAIVER_REASONS),
                by=self._manager(row.loan),
                on=on,
            )

    def cancel_instalment(self, on: date) -> None:
        """Take one coming instalment off the schedule of a loan that runs well."""
        coming = Repayment.objects.filter(
            loan__status=Loan.Status.ACTIVE,
            loan__method="flat",
            status=Repayment.Status.PENDING,
            due_date__gt=on + timedelta(days=6),
        )
        row = coming.select_related("loan__branch").order_by("due_date", "pk").first()
        if row is not None:
            relief.cancel(
                row,
                reason="The market is closed that week; agreed with the customer.",
                by=self._manager(row.loan),
                on=on,
            )

    # --- Money that needs a person ---

    def bounce_cheque(self, on: date) -> None:
        """Reverse a cheque that came back, or a slip that was typed for another bank."""
        payment = (
            Payment.objects.standing()
            .filter(method__in=("cheque", "bank"), status=Payment.Status.ALLOCATED)
            .filter(value_date__lt=on)
            .order_by("-value_date", "-pk")
            .first()
        )
        if payment is not None:
            reason = "Returned unpaid: refer to drawer."
            accountant = self.story.office.accountant
            collection.reverse_payment(payment, reason=reason, by=accountant, on=on)
            again = partial(self._pay_again, payment)
            self.story.plan(on + timedelta(days=2), 11, again)

    def _pay_again(self, payment: Payment, on: date) -> None:
        """Let the customer bring in cash what the bank sent back."""
        loan = routing.loan_for(payment.account)
        routing.take(
            method="cash",
            amount=payment.amount,
            reference=None,
            value_date=on,
            account=payment.account,
            payer_name=payment.payer_name,
            by=self.story.office.teams[loan.branch.code].cashier,
            on=on,
        )

    def take_back(self, on: date) -> None:
        """Take a payment off a loan: the payer says it was meant for somebody else's."""
        payment = (
            Payment.objects.standing()
            .filter(method="mpesa", status=Payment.Status.ALLOCATED, value_date__lt=on)
            .filter(allocations__repayment__loan__status=Loan.Status.CLOSED)
            .order_by("-pk")
            .first()
        )
        if payment is not None:
            loan = routing.loan_for(payment.account)
            reason = "The payer meant the loan of her sister."
            collection.take_back(payment, reason=reason, by=self._manager(loan), on=on)

    def use_credit(self, on: date) -> None:
        """Pay what is due from credit, for the first who has both."""
        creditors = Payment.objects.with_credit().values_list("customer_id", flat=True)
        loans = Loan.objects.active().filter(customer_id__in=list(creditors)).order_by("pk")
        for loan in loans.select_related("branch"):
            if loan.repayments.unpaid().filter(due_date__lte=on).exists():
                collection.apply_credit(loan, by=self._manager(loan), on=on)
                return

    def send_back(self, on: date) -> None:
        """Return a submitted application to the officer who prepared it."""
        for loan in self.story.undecided[:1]:
            reason = "Attach the M-Pesa statement of six months."
            lifecycle.send_back(loan, reason=reason, by=self._manager(loan), on=on)

    def stray(self, stray: tuple[str, int, str], on: date) -> None:
        """Take money whose account number means nothing."""
        account, amount, payer = stray
        team = self.story.office.teams["DEMONRB"]
        self.story.till.stray(account, amount, payer, on=on, branch=team.branch)

    def forget_number(self, way, on: date) -> None:
        """Take the next instalment of a customer who did not type the loan number."""
        coming = Repayment.objects.unpaid().filter(
            loan__status=Loan.Status.ACTIVE, loan__branch__code="DEMONRB", due_date__gt=on
        )
        for row in coming.select_related("loan__customer", "loan__branch").order_by("due_date"):
            customer = row.loan.customer
            alone = customer.loans.filter(status=Loan.Status.ACTIVE).count() == 1
            if not alone or customer.pk in self._forgetful:
                continue
            self._forgetful.add(customer.pk)
            account, phone = way(row.loan)
            self.story.till.stray(
                account,
                int(row.outstanding.quantize(SHILLING, ROUND_CEILING)),
                customer.name.upper(),
                on=on,
                branch=row.loan.branch,
                phone=phone,
            )
            return

    def match_stray(self, on: date) -> None:
        """Match the oldest stray payment to the loan it was meant for."""
        payment = Payment.objects.unallocated().order_by("pk").first()
        loan = Loan.objects.active().overdue(on=on).select_related("branch").order_by("pk").first()
        if payment is not None and loan is not None:
            routing.match(payment, loan, by=self._manager(loan), on=on)

    def give_back(self, account: str, on: date, *, is_approved: bool) -> None:
        """Ask for a stray payment to go back to its payer; a manager may have approved it."""
        team = self.story.office.teams["DEMONRB"]
        payment = Payment.objects.placeable().filter(account=account).first()
        if payment is None:
            return
        reason = "Meant for another paybill: the payer came with the message from M-Pesa."
        approval = mpesa.ask_reversal(payment, reason=reason, by=team.cashier, on=on)
        if is_approved:
            row = reversals.carry_out(approval, reason="", by=team.manager, on=on)
            moment = self.story.clock.moment
            values = [("OriginalTransactionID", row.receipt), ("Amount", int(row.amount))]
            ids = (row.originator_id, row.conversation_id)
            back = bodies.result(ids, receipt=self.story.till.receipt(on), values=values)
            raw = json.dumps(back).encode()
            self.story.till.deliver(Callback.Kind.REVERSAL, raw, moment=moment)

    # --- The M-Pesa inbox ---

    def prompt(self, fate: str, on: date) -> None:
        """Ask a customer's phone for the next instalment; `fate` says what becomes of it."""
        moment = self.story.clock.moment
        coming = Repayment.objects.unpaid().filter(
            loan__status=Loan.Status.ACTIVE,
            due_date__gt=self.story.today,
            due_date__lte=on + timedelta(days=20),
        )
        row = (
            coming.exclude(loan__customer_id__in=self._prompted)
            .select_related("loan__customer", "loan__branch")
            .order_by("due_date", "pk")
            .first()
        )
        if row is None:
            return
        customer = row.loan.customer
        self._prompted.add(customer.pk)
        asked = mpesa.push(
            phone=customer.phone,
            amount=row.outstanding.quantize(SHILLING, rounding=ROUND_CEILING),
            account=row.loan.number,
            description=f"Instalment {row.number}"[:13].strip(),
            customer=customer,
            by=self.story.office.teams[row.loan.branch.code].officer,
            at=moment,
        )
        if fate == "open":
            return
        raw = self._answer(asked, fate)
        later = moment + timedelta(seconds=20)
        self.story.clock.moment = min(later, self.story.now)
        self.story.till.deliver(Callback.Kind.STK, raw, moment=self.story.clock.moment)

    def _answer(self, asked: MpesaPayment, fate: str) -> bytes:
        """Return the callback that a prompt of this fate brings."""
        prompt = self.daraja.books.prompts[asked.checkout_request_id]
        if fate == "paid":
            moment = self.story.clock.moment
            receipt = self.story.till.receipt(moment.date())
            taken = Taken(receipt, int(asked.amount), asked.account, asked.phone, moment)
            return json.dumps(bodies.stk_success(prompt, taken, odd_types=False)).encode()
        habit = {"poor": bodies.HABITS["00"], "cancelled": bodies.CANCELLED}.get(
            fate, bodies.NO_ANSWER
        )
        failure = bodies.stk_failure(prompt, habit.result_code, habit.result_desc)
        return json.dumps(failure).encode()

    def _someone(self, on: date) -> Loan:
        """Return a running loan of a customer, another one each time."""
        loans = Loan.objects.active().exclude(customer_id__in=self._prompted).order_by("-pk")
        loan = loans.select_related("customer").first()
        self._prompted.add(loan.customer_id)
        return loan

    def twice(self, on: date) -> None:
        """Let Safaricom send the same confirmation twice."""
        raw = self._confirmation(self._someone(on), 500)
        for _ in range(2):
            self.story.till.deliver(Callback.Kind.CONFIRMATION, raw, moment=self.story.clock.moment)

    def unreadable(self, on: date) -> None:
        """Let something arrive that is no confirmation at all."""
        raw = b'{"TransID": "", "TransAmount": "five hundred"}'
        self.story.till.deliver(Callback.Kind.CONFIRMATION, raw, moment=self.story.clock.moment)

    def other_paybill(self, on: date) -> None:
        """Let a confirmation arrive that belongs to another lender's paybill."""
        raw = self._confirmation(self._someone(on), 750, shortcode="600000")
        self.story.till.deliver(Callback.Kind.CONFIRMATION, raw, moment=self.story.clock.moment)

    def ask_first(self, on: date) -> None:
        """Let Safaricom ask whether a payment may be made, to an account that nobody has."""
        moment = self.story.clock.moment
        taken = Taken(self.story.till.receipt(on), 900, "RENT JULY", "254722000333", moment)
        raw = json.dumps(
            bodies.c2b(taken, shortcode=str(settings.DARAJA_SHORTCODE), version=2, balance=None)
        ).encode()
        key = mpesa.record_callback(
            kind=Callback.Kind.VALIDATION, body=raw, headers={}, remote_addr=None, at=moment
        )
        answer = mpesa.validate(raw, knows_account=routing.knows_account)
        mpesa.record_answer(key, answer, at=moment)

    def tell_balances(self, on: date) -> None:
        """Let Safaricom tell what the accounts hold: a charge is not in the books yet."""
        moment = self.story.clock.moment
        (inquiry,) = mpesa.ask_balances(by=None, at=moment)
        books = balances(on)
        paybill, working = (
            int(books.get(code, Balance()).net)
            for code in (chart.MPESA_PAYBILL, chart.MPESA_WORKING)
        )
        held = {
            "Working Account": working,
            "Utility Account": paybill - UNBOOKED_CHARGE,
            "Charges Paid Account": -UNBOOKED_CHARGE,
        }
        ids = (inquiry.originator_id, inquiry.conversation_id)
        raw = json.dumps(bodies.result(ids, values=bodies.balance_values(held, moment))).encode()
        self.story.till.deliver(Callback.Kind.BALANCE, raw, moment=moment)

    def _confirmation(self, loan: Loan, amount: int, *, shortcode: str | None = None) -> bytes:
        moment = self.story.clock.moment
        receipt = self.story.till.receipt(moment.date())
        taken = Taken(receipt, amount, loan.number, loan.customer.phone, moment)
        ours = str(settings.DARAJA_SHORTCODE)
        body = bodies.c2b(taken, shortcode=shortcode or ours, version=2, balance=None)
        return json.dumps(body).encode()

    # --- Messages ---

    def remind(self, on: date) -> None:
        """Run the reminders of the morning, also of days whose night the demo does not close."""
        reminders.remind(on=on, now=dates.now())
        jobs.deliver_messages()

    def send_receipts(self, on: date) -> None:
        """Send what the day's payments put into the outbox."""
        jobs.deliver_messages()


PROMPTS = (
    "paid", "paid", "poor", "paid", "cancelled", "paid", "silent", "paid", "cancelled", "paid",
    "poor", "open",
)  # fmt: skip
