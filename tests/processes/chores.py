"""What a process of an office does when a test asks it: each function is one chore.

Arguments and answers cross to another process, so they are plain values.
"""

import sys
import time
from collections import defaultdict
from contextlib import suppress
from datetime import date, datetime, timedelta
from decimal import Decimal

import time_machine
from django.conf import settings
from django.db import connection, models, transaction
from django_q.brokers import get_broker
from django_q.models import OrmQ
from django_q.tasks import async_task

from lms import dates, inbox, jobs, routing
from lms.dates import EAT
from lms.errors import Refused
from lms.imports.models import ImportJob
from lms.loans.models import Allocation, Loan, Repayment
from lms.loans.operations import lifecycle
from lms.money import ZERO
from lms.mpesa import operations as mpesa
from lms.mpesa.client import Daraja
from lms.mpesa.models import Callback, MpesaPayment
from lms.notifications import operations as notifications
from lms.notifications.models import SAMPLES, Message
from lms.payments.models import Payment
from lms.payments.operations import AlreadyPosted
from lms.staff.models import Staff
from tests import books, factories, nights
from tests.processes import clerk, scenes
from tests.processes.bookkeeping import (  # noqa: F401 - chores as well
    carried_of_january,
    close_january,
    half_posted,
    keep_posting_entries,
    open_books,
    post_to_january,
    posted_days,
)
from tests.processes.office import PATIENCE, wait_for
from tests.processes.paying_out import (  # noqa: F401 - chores as well
    approve_payouts,
    keep_paying_out,
    look_after_payouts,
    open_payouts,
    paid_out,
    send_unknown_again,
    standing_of_loans,
)
from tests.processes.sending_back import (  # noqa: F401 - chores as well
    apply_body,
    approve_it,
    ask_for_it_back,
    follow_it,
    standing_of_it,
)

PAID_ON = date(2026, 3, 2)


# --- Before --------------------------------------------------------------------------------------
def lend(count: int, principal: int, instalments: int) -> list[tuple[str, Decimal]]:
    """Lend to Wanjiku `count` times; return the number of each loan and all that it owes."""
    lent = []
    for _ in range(count):
        loan = factories.active(Decimal(principal), terms={"number_of_repayments": instalments})
        lent.append((loan.number, loan.position.outstanding))
    return lent


def lend_apart(first: int, count: int) -> list[str]:
    """Lend 100,000 to so many people, the `first` and those after; return their loans' numbers."""
    with transaction.atomic():
        phones = [f"25471{number:05d}50" for number in range(first, first + count)]
        people = [factories.customer("Otieno Ouma", phone) for phone in phones]
        numbers = [factories.active(Decimal(100_000), customer=one).number for one in people]
    count_rows()
    return numbers


def phones_of(accounts: list[str]) -> list[str]:
    return [routing.loan_for(account).customer.phone for account in accounts]


def count_rows() -> None:
    """Tell the planner how full the tables are, as autovacuum does within a minute."""
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")


def lend_dearly(principal: int) -> str:
    """Lend where each late day costs 0.5% of the instalment; return the number of the loan."""
    product = factories.product(
        code="DEAR",
        number_of_repayments=3,
        penalty_base="instalment",
        penalty_value=Decimal("0.5"),
        penalty_frequency="daily",
    )
    return factories.active(Decimal(principal), product=product).number


def ask_by_stk(asked: list[tuple[str, str, int]]) -> None:
    """Write down pushes that Safaricom accepted: checkout id, loan number, amount in KES."""
    MpesaPayment.objects.bulk_create(
        MpesaPayment(
            checkout_request_id=checkout_id,
            account=account,
            amount=amount,
            phone="254712345678",
            purpose="Loan",
            status=MpesaPayment.Status.SENT,
            requested_at=datetime(2026, 3, 2, 10, tzinfo=EAT),
        )
        for checkout_id, account, amount in asked
    )


def fetch_tokens(url: str, times: int) -> list[str]:
    """Take the access token of Daraja at an address; return those had, one after the other."""
    settings.DARAJA_URL, settings.DARAJA_CONSUMER_KEY = url, "key"
    settings.DARAJA_CONSUMER_SECRET = "secret"
    return [Daraja()._token() for _ in range(times)]


def take_over(count: int, principal: int) -> list[str]:
    """Take over running loans whose schedules are still to be imported; return their numbers."""
    Staff.objects.create_superuser("wambui", password="maji-moto-42-safi")
    numbers = []
    for _ in range(count):
        loan = factories.draft(Decimal(principal))
        lifecycle.take_over(
            loan,
            disbursed_on=factories.DAY,
            with_schedule=False,
            by=factories.kamau(),
            on=factories.DAY,
        )
        numbers.append(loan.number)
    return numbers


def queue_messages(phones: list[str]) -> None:
    """Queue one receipt to a customer with each phone."""
    notifications.enqueue_many(
        (
            notifications.Draft(
                customer=factories.customer(phone=phone),
                occasion="payment_received",
                channel="sms",
                key=f"receipt:{phone}",
                values=SAMPLES["payment_received"],
            )
            for phone in phones
        ),
        now=dates.now(),
    )


# --- Meanwhile -----------------------------------------------------------------------------------
def pay_in_step(rounds: list[tuple[str, Decimal]], drawer: str, without_lock: str = "") -> None:
    """Post one payment a round (loan number, KES), each at the same moment as the other cashier.

    With `without_lock` no row is locked, which shows what the lock is for.
    """
    if without_lock:
        models.QuerySet.select_for_update = lambda rows, **_: rows
    cashier = factories.mutua()
    for number, (account, amount) in enumerate(rounds):
        clerk.meet()
        routing.take(
            method="bank",
            amount=amount,
            reference=f"{drawer}-{number}",
            value_date=PAID_ON,
            account=account,
            by=cashier,
            on=PAID_ON,
        )


def side_by_side(chore: str, *arguments):
    """Do one of several chores, each at the same moment as the others."""
    chores = {
        "pay": pay_by_day,
        "night": charge_by_night,
        "post": post_to_january,
        "close": close_january,
    }
    return chores[chore](*arguments)


def pay_by_day(days: list[date], account: str) -> None:
    """Post 100 a round, each at the same moment as the others, that count from these days."""
    for number, day in enumerate(days):
        clerk.meet()
        pay_from(day, account, number)


def pay_from(day: date, account: str, number: int = 0) -> None:
    """Post 100 today that count from a day."""
    routing.take(
        method="bank",
        amount=Decimal(100),
        reference=f"{account}-{day}-{number}",
        value_date=day,
        account=account,
        by=factories.mutua(),
        on=PAID_ON,
    )


def charge_by_night(rounds: int) -> None:
    """Charge late penalties each round, for the eve of the morning on which others pay."""
    for _ in range(rounds):
        clerk.meet()
        with transaction.atomic():
            nights.charge(on=PAID_ON - timedelta(days=1))


def post_the_same(references: list[str], account: str) -> int:
    """Post each reference at the same moment as everyone else; return how many came first."""
    first = 0
    for reference in references:
        clerk.meet()
        with suppress(AlreadyPosted):
            _take(reference, account)
            first += 1
    return first


def keep_posting(account: str, drawer: str, number: str) -> None:
    """Post payments until killed, saying each reference once it is posted."""
    following = int(number)
    while True:
        with suppress(AlreadyPosted):
            _take(f"{drawer}-{following}", account)
        sys.stdout.write(f"{following}\n")
        sys.stdout.flush()
        following += 1


def keep_applying() -> None:
    """Apply stored callbacks until killed."""
    while True:
        inbox.drain_some()
        time.sleep(0.02)


def store_callbacks(accounts: list[str], first: int, tasks: bool) -> None:
    """Store a confirmation for each loan in one transaction, with a task each where wanted."""
    now = dates.now()
    with transaction.atomic():
        stored = Callback.objects.bulk_create(
            Callback(
                kind=Callback.Kind.CONFIRMATION,
                body=scenes.c2b_body(first + place, account),
                received_at=now,
                due_at=now,
            )
            for place, account in enumerate(accounts)
        )
        for callback in stored if tasks else ():
            async_task("lms.jobs.apply_callback", callback.pk)


def wait_until_applied(patience: float) -> None:
    """Wait until no callback waits any more."""
    wait_for(
        lambda: not Callback.objects.filter(status=Callback.Status.RECEIVED).exists(),
        "callbacks were not applied",
        every=0.02,
        within=patience,
    )


def work_off(accounts: list[str], first: int, tasks: bool) -> float:
    """Store a confirmation for each loan; return how long it takes until all are applied (s)."""
    started = time.monotonic()
    store_callbacks(accounts, first, tasks)
    wait_until_applied(PATIENCE)
    return time.monotonic() - started


def forget_tasks() -> None:
    OrmQ.objects.all().delete()


def watch_placed(number: int, patience: float) -> dict[str, float]:
    """Watch until so many payments are placed, or for so long; return when each was seen."""
    seen: dict[str, float] = {}
    last, until = 0, time.monotonic() + patience
    while len(seen) < number and time.monotonic() < until:
        placed = Payment.objects.filter(pk__gt=last - 500, status=Payment.Status.ALLOCATED)
        now = time.time()
        for pk, reference in placed.values_list("pk", "reference"):
            seen.setdefault(reference, now)
            last = max(last, pk)
        time.sleep(0.05)
    return seen


def push(phone: str, amount: int, account: str) -> None:
    """Ask a phone for a payment on a loan."""
    with suppress(Refused):  # asked a moment ago
        mpesa.push(
            phone=phone,
            amount=Decimal(amount),
            account=account,
            description="Loan",
            customer=routing.loan_for(account).customer,
            by=None,
            at=dates.now(),
        )


def query_open_pushes() -> None:
    """Ask about pushes that never called back, as the watchdog does three minutes from now."""
    with time_machine.travel(dates.now() + timedelta(minutes=3)):
        while jobs.query_pushes():
            pass


def pull_missed() -> str:
    """Pull missed payments, as the schedule does."""
    return jobs.pull_missed()


def ask_about(receipts: list[str]) -> None:
    """Ask Safaricom about payments that customers have a message of."""
    for receipt in receipts:
        mpesa.ask_payment(receipt, by=None, at=dates.now())


def match_missing(taken: list[tuple[str, str]]) -> int:
    """Place payments that came without an account on the loan (receipt, loan) a customer names."""
    wanted = dict(taken)
    waiting = Payment.objects.unallocated().filter(reference__in=wanted)
    for payment in list(waiting):
        loan = routing.loan_for(wanted[payment.reference])
        routing.match(payment, loan, by=factories.kamau(), on=dates.today())
    return len(wanted)


def credited() -> dict[str, tuple[Decimal, str]]:
    """Return what was placed, by receipt: KES, and the phone of whose loan it is on."""
    placed = Payment.objects.filter(status=Payment.Status.ALLOCATED, method=Payment.Method.MPESA)
    return {
        reference: (amount, phone)
        for reference, amount, phone in placed.values_list("reference", "amount", "customer__phone")
    }


def deliver_outbox() -> str:
    return jobs.deliver_messages()


# --- Afterwards ----------------------------------------------------------------------------------
def put_in_order() -> None:
    """Let the sweeps do what a crash left, as they would three minutes from now."""
    with time_machine.travel(dates.now() + timedelta(minutes=3)):
        while jobs.apply_waiting_callbacks():
            pass
        jobs.settle_unallocated()


def prove() -> None:
    """Assert that the books and the loans agree, and that nothing is paid more than is due."""
    books.prove()
    assert overpaid() == []


def overpaid() -> list[str]:
    """Return each component of an instalment to which more was allocated than is due.

    Counts allocations: of two writers who overwrite one another, the paid column of the instalment
    shows only the last.
    """
    sums: dict[tuple[int, str], Decimal] = defaultdict(lambda: ZERO)
    for row, component, amount in Allocation.objects.values_list(
        "repayment_id", "component", "amount"
    ):
        sums[row, component] += amount
    due = Repayment.objects.in_bulk({row for row, _ in sums})
    return [
        f"{due[row]} {component}: {amount} of {getattr(due[row], component)}"
        for (row, component), amount in sums.items()
        if amount > getattr(due[row], component) - getattr(due[row], f"{component}_waived")
    ]


def payments() -> dict[str, Decimal | int]:
    """Return how many payments there are, what came in, and where it went (KES)."""
    made = list(Payment.objects.all())
    parts = list(Allocation.objects.values_list("amount", flat=True))
    return {
        "count": len(made),
        "placed": sum(payment.status == Payment.Status.ALLOCATED for payment in made),
        "received": sum((payment.amount for payment in made), ZERO),
        "allocated": sum(parts, ZERO),
        "credited": sum((payment.credited for payment in made), ZERO),
    }


def instalments(number: str) -> list[tuple]:
    """What each instalment of a loan was charged and paid, and when it was settled."""
    return list(
        Repayment.objects.filter(loan=Loan.key_of(number))
        .order_by("number")
        .values_list("penalties", "penalties_paid", "interest_paid", "principal_paid", "paid_on")
    )


def outstanding(number: str) -> Decimal:
    return Loan.objects.numbered(number).get().position.outstanding


def references() -> list[str]:
    return list(Payment.objects.order_by("reference").values_list("reference", flat=True))


def callbacks() -> dict[str, int]:
    """Return how many stored callbacks there are in each status."""
    counted = Callback.objects.order_by().values_list("status").annotate(models.Count("pk"))
    return dict(counted)


def attempts() -> int:
    """Return how often stored callbacks were taken from the line."""
    return Callback.objects.aggregate(sum=models.Sum("attempts"))["sum"] or 0


def callbacks_of(receipts: list[str]) -> dict[str, int]:
    """Return how many stored callbacks name each receipt, reading the bodies themselves."""
    found = dict.fromkeys(receipts, 0)
    for body in Callback.objects.values_list("body", flat=True):
        text = bytes(body).decode()
        for receipt in receipts:
            found[receipt] += receipt in text
    return found


def tasks_waiting() -> int:
    """Return how many tasks of django-q2 no cluster has taken yet."""
    return get_broker().queue_size()


def repayments() -> int:
    return Repayment.objects.count()


def imports_applied() -> int:
    """Return how many imports have begun to write, whatever became of them."""
    return ImportJob.objects.filter(
        status__in=[ImportJob.Status.APPLYING, ImportJob.Status.DONE]
    ).count()


def messages() -> dict[str, int]:
    """Return how many messages there are in each status."""
    counted = Message.objects.order_by().values_list("status").annotate(models.Count("pk"))
    return dict(counted)


def _take(reference: str, account: str) -> None:
    routing.take(
        method="bank",
        amount=Decimal("85.50"),
        reference=reference,
        value_date=PAID_ON,
        account=account,
        by=factories.mutua(),
        on=PAID_ON,
    )
