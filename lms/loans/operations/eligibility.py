"""Whether a customer may have a loan: each rule of its version, and by how much it is missed."""

from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from functools import cached_property
from itertools import groupby
from typing import NamedTuple

from django.db.models import F, Max

from lms import dates
from lms.customers.models import Customer
from lms.errors import Refused
from lms.loans.calculator import Row
from lms.loans.models import EligibilityRule, Guarantor, Loan, Position, Repayment
from lms.loans.operations.rows import is_in_arrears
from lms.money import ZERO, kes, money, total
from lms.words import counted

Kind = EligibilityRule.Kind
Status = Loan.Status
OUTSTANDING = F("principal") + F("interest") + F("fees") + F("penalties")


class Verdict(NamedTuple):
    """What became of one rule. `found` and `by` are None where there is nothing to measure.

    `by` is how far what was found lies beyond what is wanted, 0 where the rule is kept.
    """

    rule: EligibilityRule
    passed: bool
    wanted: Decimal | None
    found: Decimal | None
    by: Decimal | None
    sentence: str


class Unmeasured(Exception):
    """There is no number to hold against the limit: the rule fails, and the text says why."""


def assess(loan: Loan, *, on: date) -> list[Verdict]:
    """Return how each rule of the loan's version stands on a day; the loan may be unsaved."""
    case = _Case(loan, on)
    return [_verdict(rule, case) for rule in loan.version.rules.all()]


def assess_top_up(
    loan: Loan, *, amount: Decimal, rows: Sequence[Repayment], on: date
) -> list[Verdict]:
    """Return how each rule stands on a running loan once it is topped up by `amount` KES.

    Measured are the principal owed with it and the instalments that would then come, `rows`; days
    late on the loan itself count like those on others.
    """
    case = _TopUp(loan, on, amount, rows)
    return [_verdict(rule, case) for rule in loan.version.rules.all()]


def must_allow_top_up(loan: Loan, *, amount: Decimal, rows: Sequence[Repayment], on: date) -> None:
    """Raise Refused as `must_be_eligible` does, for a running loan topped up by `amount` KES."""
    _refuse(assess_top_up(loan, amount=amount, rows=rows, on=on))


def must_be_eligible(loan: Loan, *, on: date) -> None:
    """Raise Refused, with the first hard rule that is not kept and a count of the others."""
    _refuse(assess(loan, on=on))


def _refuse(verdicts: Sequence[Verdict]) -> None:
    failed = [each for each in verdicts if each.rule.is_hard and not each.passed]
    if not failed:
        return
    others = {1: "", 2: " One more rule is not kept."}
    more = others.get(len(failed), f" {len(failed) - 1} more rules are not kept.")
    raise Refused(f"{failed[0].sentence}{more}")


def _verdict(rule: EligibilityRule, case: "_Case") -> Verdict:
    try:
        found, words = getattr(case, rule.kind)()
    except Unmeasured as why:
        return Verdict(rule, False, rule.limit, None, None, f"{rule}: {why}")  # noqa: FBT003
    except Refused as refusal:
        return Verdict(rule, False, rule.limit, None, None, f"{rule}: {refusal.message}")  # noqa: FBT003
    if found is None or rule.limit is None:
        passed = found is None
        return Verdict(rule, passed, rule.limit, None, None, f"{rule}: {words}.")
    at_least = rule.kind in EligibilityRule.AT_LEAST
    by = max(rule.limit - found if at_least else found - rule.limit, ZERO)
    if by == 0:
        tail = f"{'at least' if at_least else 'within'} {_amount(rule.kind, rule.limit)}"
    else:
        beyond = "short of" if at_least else "above"
        tail = f"{_gap(rule.kind, by)} {beyond} {_amount(rule.kind, rule.limit)}"
    return Verdict(rule, by == 0, rule.limit, found, by, f"{rule}: {words}, {tail}.")


def _number(value: Decimal) -> str:
    return f"{Decimal(value).normalize():f}"


def _amount(kind: str, value: Decimal) -> str:
    if kind == Kind.EXPOSURE:
        return kes(value)
    return f"{_number(value)}%" if kind in (Kind.SCORE, Kind.AFFORDABILITY) else _number(value)


def _gap(kind: str, value: Decimal) -> str:
    points = kind in (Kind.SCORE, Kind.AFFORDABILITY)
    return f"{_number(value)} points" if points else _amount(kind, value)


class _Case:
    """The facts about one application. Each rule's method is named as its kind.

    It returns what is measured against the limit, None where the rule does not apply or is kept,
    and the fact in words. Raises Unmeasured where something is not filled in.
    """

    def __init__(self, loan: Loan, on: date) -> None:
        self.loan, self.on = loan, on
        self.customer: Customer = loan.customer
        self.principal: Decimal = loan.principal

    @cached_property
    def rows(self) -> Sequence[Row]:
        return self.loan.calculator(
            disbursed_on=self.on, fees=None if self.loan.pk else self._fees_to_come
        ).schedule()

    @property
    def _fees_to_come(self) -> list:
        return [fee.as_fee() for fee in self.loan.version.fees.all()]

    @cached_property
    def others(self):
        return Loan.objects.filter(customer=self.customer).exclude(pk=self.loan.pk)

    @cached_property
    def staying(self):
        """Other loans of the customer that this one does not pay off."""
        return self.others.exclude(pk=self.loan.refinances_id)

    @property
    def watched(self):
        """Loans on which the customer must not be late."""
        return self.others

    def min_age(self):
        return self._age(self.on, "")

    def max_age(self):
        last = self.rows[-1].due_date
        return self._age(last, f" on {dates.show(last)}")

    def _age(self, day: date, when: str):
        if self.customer.kind == Customer.Kind.BUSINESS:
            return None, "a business has no age"
        age = self.customer.age(on=day)
        if age is None:
            raise Unmeasured(f"fill in the date of birth of {self.customer.name}.")
        return Decimal(age), f"{self.customer.name} is {age} years old{when}"

    def kyc(self):
        if self.customer.kyc_status == Customer.Kyc.VERIFIED:
            return None, f"{self.customer.name} is verified"
        return ZERO, f"{self.customer.name} is not verified yet"

    def arrears(self):
        """The days past due of other loans."""
        lost = self.others.filter(status=Status.WRITTEN_OFF).first()
        if lost is not None:
            raise Unmeasured(f"{lost.number} of {self.customer.name} was written off.")
        rows = Repayment.objects.unpaid().filter(
            loan__in=self.watched.active().values("pk"), due_date__lt=self.on
        )
        late = [
            (row.due_date, row.loan.number)
            for row in rows.select_related("loan")
            if is_in_arrears(row)
        ]
        since, number = min(late, default=(self.on, ""))
        days = (self.on - since).days
        if not days:
            return ZERO, "no day late on another loan"
        return Decimal(days), f"{number} is {counted(days, 'day')} late"

    def active_loans(self):
        others = self.staying.filter(status__in=(Status.APPROVED, Status.ACTIVE)).count()
        return Decimal(others + 1), f"this one would be number {others + 1}"

    def exposure(self):
        """This loan, what is owed or approved on others, and what others are guaranteed."""
        owing = self.staying.filter(status__in=(Status.ACTIVE, Status.WRITTEN_OFF))
        positions = Position.objects.filter(loan__in=owing.values("pk"))
        owed = positions.aggregate(sum=total(OUTSTANDING))["sum"]
        approved = self.staying.filter(status=Status.APPROVED)
        coming = approved.aggregate(sum=total("principal"))["sum"]
        guaranteed = Guarantor.objects.exposure(self.customer)
        exposed = self.principal + owed + coming + guaranteed
        words = (
            f"{kes(self.principal)} of this loan, {kes(owed + coming)} on others and "
            f"{kes(guaranteed)} guaranteed make {kes(exposed)}"
        )
        return exposed, words

    def score(self):
        limit = self.customer.score_limit
        if limit is None:
            raise Unmeasured(f"fill in the score limit of {self.customer.name}.")
        return _share(self.principal, limit), (
            f"{kes(self.principal)} is {_of(self.principal, limit)} of the score limit "
            f"of {kes(limit)}"
        )

    def affordability(self):
        """What falls due in the heaviest calendar month, in percent of a month's net income."""
        income = self.customer.net_income
        if income is None:
            raise Unmeasured(f"fill in the net income of {self.customer.name}.")
        months = [
            list(rows)
            for _, rows in groupby(self.rows, lambda row: (row.due_date.year, row.due_date.month))
        ]
        heaviest = max(months, key=lambda rows: sum(row.total for row in rows))
        due = sum((row.total for row in heaviest), ZERO)
        what = f"the instalment of {kes(due)} is"
        if len(heaviest) > 1:
            month = f"{heaviest[0].due_date:%B %Y}"
            what = f"the {len(heaviest)} instalments of {month}, {kes(due)}, are"
        return _share(due, income), f"{what} {_of(due, income)} of net income"

    def cool_off(self):
        closed, rejected = (
            self.others.filter(status=status).aggregate(last=Max(field))["last"]
            for status, field in (
                (Status.CLOSED, "closed_on"),
                (Status.REJECTED, "decided_on"),
            )
        )
        last = max(filter(None, (closed, rejected)), default=None)
        if last is None:
            return None, "no loan was closed or rejected before"
        days = (self.on - last).days
        word = "closed" if last == closed else "rejected"
        return Decimal(days), f"{counted(days, 'day')} ago a loan was {word}"


class _TopUp(_Case):
    """The facts about a running loan on which more is lent."""

    def __init__(self, loan: Loan, on: date, amount: Decimal, rows: Sequence[Repayment]) -> None:
        super().__init__(loan, on)
        self.principal = loan.position.principal + amount
        self.coming = rows

    @cached_property
    def rows(self) -> Sequence[Row]:
        return [
            Row(row.number, row.due_date, 0, row.principal, row.interest, row.fees,
                row.amount_due, ZERO)
            for row in self.coming
        ]  # fmt: skip

    @property
    def watched(self):
        return Loan.objects.filter(customer=self.customer)


def _share(part: Decimal, whole: Decimal) -> Decimal:
    """Return a part in percent of the whole; of nothing it is far too much."""
    return money(part * 100 / whole) if whole else money(part * 100)


def _of(part: Decimal, whole: Decimal) -> str:
    return f"{_number(_share(part, whole))}%"
