"""The verbs of referrals: say who brought a customer, propose the reward, decide on it."""

from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from datetime import date, timedelta
from decimal import Decimal

from django.conf import settings
from django.db import transaction
from django.db.models import Exists, OuterRef, Q, QuerySet

from lms import dates, history
from lms.customers.models import Customer
from lms.errors import Refused
from lms.loans.models import Allocation, Loan, Waiver
from lms.loans.operations import collection, rows
from lms.loans.operations.rows import needs_reason
from lms.money import money
from lms.payments.models import Payment
from lms.payments.operations import receive
from lms.referrals.models import ReferralReward

Status = ReferralReward.Status
# A loan whose last money counts from an earlier day was closed on that day: the night looks back.
# A reward that is switched on is earned from then on, and for so many days before.
LOOKS_BACK = timedelta(days=31)
# Who pays with these is not the customer: another loan of theirs, or the insurer after a death.
NOT_THEIR_MONEY = (Payment.Method.REFINANCE, Payment.Method.INSURANCE)


def set_referrer(customer: Customer, *, referrer: Customer | None, by, on: date) -> Customer:
    """Record who brought a customer, or with None that nobody did.

    Raises Refused once a loan was paid out to them, and as `Customer.refer` does.
    """
    with transaction.atomic():
        customer = Customer.objects.select_for_update().get(pk=customer.pk)
        _must_not_have_borrowed(customer)
        if customer.referred_by_id == (referrer and referrer.pk):
            known = f"{referrer.name} is" if referrer else "Nobody is"
            raise Refused(f"{known} on record already.", field="referrer")
        if referrer:
            customer.refer(referrer, by=by)
            why = f"Referred by {referrer.name}"
        else:
            customer.referred_by = customer.referral_recorded_by = None
            why = "Referred by nobody"
        customer._history_user, customer._change_reason = by, why[:100]
        customer.save(update_fields=["referred_by", "referral_recorded_by"])
    return customer


def _must_not_have_borrowed(customer: Customer) -> None:
    lent = customer.loans.filter(disbursed_on__isnull=False).order_by("disbursed_on", "pk").first()
    if lent:
        raise Refused(
            f"{lent.number} was paid out to {customer.name} on {dates.show(lent.disbursed_on)}: "
            "who referred them is recorded before the first loan."
        )


# --- Earning -------------------------------------------------------------------------------------
def propose(*, on: date) -> int:
    """Propose a reward for each referred customer who paid the first loan back by a day.

    A step of the night; returns how many are new. Run twice it proposes nothing more. Beyond the
    cap of a referrer in the month in which the loans were paid back none is proposed, also later.
    """
    amount = money(Decimal(settings.REFERRAL_REWARD))
    if not amount:
        return 0
    waiting = paid_back().filter(
        closed_on__range=(on - LOOKS_BACK, on), customer__reward_for_bringing=None
    )
    loans = list(waiting.select_related("customer").order_by("closed_on", "pk"))
    rewards = [
        ReferralReward(
            referrer_id=loan.customer.referred_by_id,
            referred=loan.customer,
            loan=loan,
            amount=amount,
            earned_on=loan.closed_on,
            proposed_on=on,
        )
        for loan in _within_cap(loans)
    ]
    return len(history.create(rewards, by=None, reason="The first loan was paid back"))


def paid_back() -> QuerySet[Loan]:
    """Return the first loans of referred customers that these paid back themselves.

    What was written off, given up in principal but for a small remainder, paid off by another
    loan or by the insurer after a death was not.
    """
    here = {"repayment__loan": OuterRef("pk")}
    given_up = (
        Waiver.objects.standing()
        .filter(**here, component="principal", amount__gt=0)
        .exclude(kind=Waiver.Kind.TOLERANCE)
    )
    paid = Allocation.objects.filter(**here, amount__gt=0, reversed_by=None)
    return Loan.objects.filter(
        ~Exists(_earlier()),
        ~Exists(given_up),
        ~Exists(paid.filter(payment__method__in=NOT_THEIR_MONEY)),
        Exists(paid),
        status=Loan.Status.CLOSED,
        customer__referred_by__isnull=False,
    )


def _earlier() -> QuerySet[Loan]:
    """Return the loans that were paid out to the customer of the outer loan before it."""
    same_day = Q(disbursed_on=OuterRef("disbursed_on"), pk__lt=OuterRef("pk"))
    return Loan.objects.filter(
        Q(disbursed_on__lt=OuterRef("disbursed_on")) | same_day, customer=OuterRef("customer")
    )


def _within_cap(loans: list[Loan]) -> list[Loan]:
    """Return the loans that still earn a reward in the month of their end, the earliest first.

    Every reward that was proposed counts, whatever was decided: a refusal makes no room.
    """
    cap = settings.REFERRAL_MONTHLY_CAP
    if not cap or not loans:
        return loans
    first = loans[0].closed_on.replace(day=1)
    referrers = {loan.customer.referred_by_id for loan in loans}
    known = ReferralReward.objects.filter(referrer__in=referrers, earned_on__gte=first)
    proposed = Counter(
        (referrer, day.replace(day=1))
        for referrer, day in known.values_list("referrer", "earned_on")
    )
    within = []
    for loan in loans:
        key = loan.customer.referred_by_id, loan.closed_on.replace(day=1)
        if proposed[key] < cap:
            proposed[key] += 1
            within.append(loan)
    return within


# --- Deciding ------------------------------------------------------------------------------------
def approve(reward: ReferralReward, *, by, on: date) -> ReferralReward:
    """Give a reward: a receipt without money pays what is due on the referrer's loans.

    What is left is the referrer's credit. Raises Refused when it is decided already, for the person
    who recorded the referral, and while the loan that earned it is not paid back any more.
    """
    with transaction.atomic():
        loans = rows.lock_many(_loans_around([reward]))
        reward = _lock(reward)
        _must_wait(reward)
        _must_be_second_person(reward, by=by)
        _must_be_paid_back(reward)
        own = [loan for loan in loans if loan.customer_id == reward.referrer_id]
        reward.payment = _give(reward, own, by=by, on=on)
        return _decide(reward, Status.APPROVED, reason="Approved", by=by, on=on)


def approve_all(rewards, *, by, on: date) -> list[ReferralReward]:
    """Approve each of a set of rewards, or none: a refusal names the one it is about."""
    with transaction.atomic():
        chosen = list(rewards.order_by("pk"))
        rows.lock_many(_loans_around(chosen))  # all of them first, so that nobody deadlocks
        return [approve(reward, by=by, on=on) for reward in chosen]


def refuse(reward: ReferralReward, *, reason: str, by, on: date) -> ReferralReward:
    """Decide that a reward is not given, for good. Raises Refused when it is decided already."""
    reason = needs_reason(reason)
    with transaction.atomic():
        reward = _lock(reward)
        _must_wait(reward)
        reward.reason = reason[:200]
        return _decide(reward, Status.REFUSED, reason=reason, by=by, on=on)


def refuse_all(rewards, *, reason: str, by, on: date) -> list[ReferralReward]:
    """Refuse each of a set of rewards for one reason, or none of them."""
    with transaction.atomic():
        return [refuse(reward, reason=reason, by=by, on=on) for reward in rewards.order_by("pk")]


def _loans_around(rewards: Iterable[ReferralReward]) -> set[int]:
    """Return the loans that rewards were earned by, and those that they may pay."""
    referrers = {reward.referrer_id for reward in rewards}
    running = Loan.objects.active().filter(customer__in=referrers)
    return {*running.values_list("pk", flat=True), *(reward.loan_id for reward in rewards)}


def _lock(reward: ReferralReward) -> ReferralReward:
    locked = ReferralReward.objects.select_for_update(of=("self",))
    return locked.select_related("referrer__branch", "referred", "loan").get(pk=reward.pk)


def _must_wait(reward: ReferralReward) -> None:
    if reward.status != Status.PROPOSED:
        raise Refused(f"{reward.number} is {reward.get_status_display().lower()} already.")


def _must_be_second_person(reward: ReferralReward, *, by) -> None:
    if reward.referred.referral_recorded_by_id == by.pk:
        raise Refused(
            f"You recorded that {reward.referrer.name} referred {reward.referred.name}: "
            "someone else must approve the reward."
        )


def _must_be_paid_back(reward: ReferralReward) -> None:
    if not paid_back().filter(pk=reward.loan_id).exists():
        raise Refused(
            f"{reward.loan.number} of {reward.referred.name} is not paid back any more: "
            f"{reward.number} waits until it is."
        )


def _give(reward: ReferralReward, loans: list[Loan], *, by, on: date) -> Payment:
    """Receive a reward for its referrer, and pay with it what is due on these locked loans."""
    payment = receive(
        method=Payment.Method.REWARD,
        amount=reward.amount,
        reference=None,
        value_date=on,
        account="",
        branch=reward.referrer.branch,
        customer=reward.referrer,
        by=by,
        on=on,
        note=f"{reward.number}: brought {reward.referred.name}",
        request_key=f"reward:{reward.pk}",
    )
    payment = collection.hold_as_credit(payment, by=by, on=on)
    for loan in loans:
        with suppress(Refused):  # Nothing is due on it, or no credit is left.
            collection.apply_credit(loan, by=by, on=on)
    payment.refresh_from_db()
    return payment


def _decide(reward: ReferralReward, status: str, *, reason: str, by, on: date) -> ReferralReward:
    reward.status, reward.decided_by, reward.decided_on = status, by, on
    reward._history_user, reward._change_reason = by, reason[:100]
    reward.save(update_fields=["status", "decided_by", "decided_on", "reason", "payment"])
    return reward
