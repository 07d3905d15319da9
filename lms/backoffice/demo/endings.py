"""How some loans of the story end: settled early, written off and recovered, by a death."""

from datetime import date, timedelta
from functools import partial

from lms.backoffice.admin.loan_endings import settle, written
from lms.backoffice.demo.story import Story
from lms.loans.models import Loan
from lms.loans.operations import collection, deaths, documents, settling, writing_off
from lms.money import SHILLING, UP, money
from lms.payments import operations as payments
from lms.payments.models import Payment

LOST_AFTER = 100  # days
LOST_FROM = 2_000  # KES


def plan(story: Story) -> None:
    """Plan one of each: the days are counted back from today."""
    for days, hour, act in (
        (26, 11, settle_early),
        (18, 9, write_off),
        (3, 10, refund),
        (2, 15, record_death),
    ):
        story.plan(story.today - timedelta(days=days), hour, partial(act, story))


def settle_early(story: Story, on: date) -> None:
    """Let somebody ask for a quote, pay their flat loan off with a rebate and take the letter."""
    running = Loan.objects.active().filter(method="flat", interest_stops_on=None)
    running = running.filter(disbursed_on__lt=on - timedelta(days=30), undisbursed=0)
    loan = running.exclude(pk__in=Loan.objects.overdue(on=on)).order_by("pk").first()
    if loan is None:
        return
    team = story.office.teams[loan.branch.code]
    quote = settling.payoff(loan, on=on)
    documents.issue_payoff_quote(loan, write=written, by=team.officer, on=on)
    settle(
        loan,
        method="bank",
        reference=story.till.slip(on),
        amount=money(quote.total, SHILLING, UP),
        value_date=on,
        by=team.cashier,
        on=on,
    )
    documents.issue_clearance(loan, write=written, by=team.manager, on=on)


def write_off(story: Story, on: date) -> None:
    """Give the loan up that is late the longest; a little of it comes back a week later."""
    lost = Loan.objects.overdue(on=on - timedelta(days=LOST_AFTER))
    lost = lost.filter(undisbursed=0, position__principal__gte=LOST_FROM)
    loan = lost.order_by("position__overdue_since", "pk").first()
    if loan is None:
        return
    team = story.office.teams[loan.branch.code]
    reason = "Shop closed, the customer left the county; three visits are on file."
    writing_off.write_off(loan, reason=reason, by=team.manager, on=on)
    story.plan(on + timedelta(days=7), 14, partial(_recover, story, loan))


def _recover(story: Story, loan: Loan, on: date) -> None:
    payment = payments.receive(
        method="cash",
        amount=money(1_500),
        reference=None,
        value_date=on,
        account=loan.number,
        branch=loan.branch,
        customer=loan.customer,
        by=story.office.teams[loan.branch.code].cashier,
        on=on,
    )
    collection.allocate(payment, loan, by=payment.taken_by, on=on)


def refund(story: Story, on: date) -> None:
    """Pay a customer's credit back who has no loan left to use it on."""
    idle = Payment.objects.with_credit().exclude(customer__loans__in=Loan.objects.active())
    payment = idle.select_related("customer").order_by("pk").first()
    if payment is not None:
        payments.refund_credit(
            payment.customer,
            amount=payment.credited,
            method="mpesa",
            reference=story.till.receipt(on),
            by=story.office.accountant,
            on=on,
        )


def record_death(story: Story, on: date) -> None:
    """Let the family of a borrower bring the burial permit; the insurer is asked to pay."""
    running = Loan.objects.active().filter(undisbursed=0, customer__kind="individual")
    running = running.exclude(pk__in=Loan.objects.overdue(on=on)).order_by("-principal", "pk")
    if (loan := running.first()) is None:
        return
    manager = story.office.teams[loan.branch.code].manager
    deaths.record_death(
        loan.customer,
        died_on=on - timedelta(days=4),
        note="Burial permit brought by the brother.",
        by=manager,
        on=on,
    )
    loan.refresh_from_db()
    deaths.make_claim(
        loan.death_claim,
        insurer="Britam",
        claim_number="GCL/2207",
        amount=settling.payoff(loan, on=on).total,
        by=manager,
        on=on,
    )
