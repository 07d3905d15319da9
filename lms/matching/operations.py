"""Whose money may be that nobody could place, and placing it as it was suggested.

Suggestions are computed for many payments at once, in the same number of queries for one and for
a whole page; nothing of them is stored. They look at the loans of all branches, so that a loan
somebody may not see still keeps another from being certain.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal

from django.db import connection, transaction
from django.db.models import Q
from django.db.models.functions import Upper

from lms import history, money, phones, routing
from lms.customers.models import Customer, PhoneEnd
from lms.errors import Refused
from lms.loans.models import Allocation, Loan, LoanFee, Repayment
from lms.loans.models.loans import spellings
from lms.loans.models.terms import FeeTerms
from lms.matching import score
from lms.matching.score import Borrower, Candidate, Paid, Suggestion
from lms.money import ZERO
from lms.payments.models import Payment

AT_ONCE = 100  # payments judged with one set of queries
TAIL = 3  # digits at the end of a phone that Safaricom leaves unmasked
MOST_NEAR = 5  # loans one slip away from what was typed that are worth showing for it alone
MOST_ALIKE = 10  # customers who share two words of a name that are worth looking at
START, MIDDLE = 4, 3  # letters of two words of a name by which customers are looked up

KNOWN = (
    "customer__name", "customer__phone", "customer__id_number", "position__principal",
    "position__interest", "position__fees", "position__penalties",
)  # fmt: skip


def suggest(payments: Iterable[Payment], *, on: date) -> dict[int, Suggestion]:
    """Return what loans each unallocated payment may be meant for, by the key of the payment.

    `on` is the day by which instalments count as due. Nothing is written.
    """
    payments = list(payments)
    found: dict[int, Suggestion] = {}
    for start in range(0, len(payments), AT_ONCE):
        found |= _Search(payments[start : start + AT_ONCE]).judge(on=on)
    return found


def accept(payment: Payment, loan: Loan, *, by, on: date, only_certain: bool = False) -> Payment:
    """Place an unallocated payment on a loan that was suggested for it; return it placed.

    The suggestion is made anew: what was shown may have changed. History says who accepted it, at
    which score and why. Raises Refused when the loan is no longer suggested, with `only_certain`
    when it is no longer the certain one, and as `routing.match` does.
    """
    with transaction.atomic():
        suggestion = suggest([payment], on=on)[payment.pk]
        chosen = next((one for one in suggestion.candidates if one.borrower.loan == loan.pk), None)
        if chosen is None:
            raise Refused(f"Nothing speaks for {loan.number} any more: look at it again.")
        if only_certain and not (suggestion.is_certain and chosen is suggestion.best):
            raise Refused(f"{loan.number} is no longer certain: look at it again.")
        history.keep(
            [payment], kind=history.CHANGED, by=by, reason=told(chosen, certain=only_certain)
        )
        return routing.match(payment, loan, by=by, on=on)


def told(candidate: Candidate, *, certain: bool) -> str:
    """Return what history says of a suggestion that was accepted."""
    how = "Certain suggestion" if certain else "Suggestion"
    return f"{how} {candidate.score}: {candidate.reason}"


@dataclass
class _Leads:
    """Where the loans of one payment may be found."""

    customers: set[int] = field(default_factory=set)
    loans: set[int] = field(default_factory=set)


class _Search:
    """Looks for the loans of a few payments together, one query for each kind of lead."""

    def __init__(self, payments: list[Payment]) -> None:
        self.paid = {payment.pk: _paid(payment) for payment in payments}
        self.leads = {pk: _Leads() for pk in self.paid}
        self.plain: dict[str, str] = {}  # phones of customers by their hash
        self.paid_from: dict[int, set[str]] = defaultdict(set)  # by loan, each also hashed

    def judge(self, *, on: date) -> dict[int, Suggestion]:
        self._follow_numbers()
        self._follow_phones()
        self._follow_names()
        self._follow_payments_before()
        self._follow_slips()
        borrowers = self._borrowers(on=on)
        of_customer: dict[int, set[int]] = defaultdict(set)
        for borrower in borrowers.values():
            of_customer[borrower.customer].add(borrower.loan)
        found = {}
        for pk, paid in self.paid.items():
            leads = self.leads[pk]
            keys = leads.loans.union(*(of_customer[key] for key in leads.customers))
            meant = [borrowers[key] for key in sorted(keys) if key in borrowers]
            found[pk] = score.judge(paid, meant)
        return found

    # --- Where to look -------------------------------------------------------------------------
    def _follow_numbers(self) -> None:
        """Find customers by what was typed as the account, and loans by a number like it."""
        wanted: dict[tuple[str, object], set[int]] = defaultdict(set)
        for pk, paid in self.paid.items():
            leads = self.leads[pk]
            for key in (paid.loan_typed, score.loan_within(paid.account)):
                if key:
                    leads.loans.add(key)
            if bare := score.bare_number(paid.account):
                leads.loans.add(int(bare))
            if paid.customer:
                leads.customers.add(paid.customer)
            for lead in _typed(paid):
                wanted[lead].add(pk)
        rows = Customer.objects.filter(_any(wanted, ("phone", "phone_hash", "id_number", "pk")))
        for row in rows.order_by().values("pk", "phone", "phone_hash", "id_number"):
            self.plain[row["phone_hash"]] = row["phone"]
            for lead in row.items():
                for pk in wanted.get(lead, ()):
                    self.leads[pk].customers.add(row["pk"])
        self._follow_loans_typed()

    def _follow_loans_typed(self) -> None:
        """Lead from the loan that was typed to the other loans of its customer."""
        typed = {
            pk: key
            for pk, paid in self.paid.items()
            if (key := paid.loan_typed or score.loan_within(paid.account))
        }
        old = {number for paid in self.paid.values() for number in paid.old_numbers}
        known = Loan.objects.filter(Q(pk__in=set(typed.values())) | Q(legacy_number__in=old))
        rows = list(known.order_by().values_list("pk", "customer_id", "legacy_number"))
        for pk, paid in self.paid.items():
            for key, customer, number in rows:
                if key == typed.get(pk):
                    self.leads[pk].customers.add(customer)
                if number and number in paid.old_numbers:
                    self.leads[pk].loans.add(key)

    def _follow_phones(self) -> None:
        """Find customers whose phone ends as a masked one does, of the few that fit it."""
        tails: dict[str, set[int]] = defaultdict(set)
        for pk, paid in self.paid.items():
            tail = paid.phone.rpartition("*")[2].strip()
            if "*" in paid.phone and len(tail) >= TAIL and tail.isascii() and tail.isdigit():
                tails[tail[-TAIL:]].add(pk)
        rows = (
            Customer.objects.alias(tail=PhoneEnd("phone")).filter(tail__in=tails)
            if tails
            else Customer.objects.none()
        )
        for key, phone, name in rows.order_by().values_list("pk", "phone", "name"):
            for pk in tails[phone[-TAIL:]]:
                paid = self.paid[pk]
                if score.fits_mask(paid.phone, phone) and score.shares_a_name(paid, name):
                    self.leads[pk].customers.add(key)

    def _follow_names(self) -> None:
        """Find customers by the name of the payer, and by a name typed as the account."""
        wanted: dict[tuple[str, str], set[int]] = defaultdict(set)
        for pk, paid in self.paid.items():
            for said in (paid.name, paid.account):
                words = score.words_of(said)
                if len(words) > 1 and not score.says_nothing(said):
                    wanted[words[0], words[-1]].add(pk)
                    wanted[words[-1], words[0]].add(pk)
        if not wanted:
            return
        pairs = Q()
        for start, other in wanted:
            pairs |= _begins(start[:START]) & Q(name__icontains=other[:MIDDLE])
        rows = Customer.objects.alias(upper_name=Upper("name")).filter(pairs).order_by()
        by_start: dict[str, list[tuple[int, str]]] = defaultdict(list)
        for key, name in rows.values_list("pk", "name"):
            by_start[name.upper()[:START]].append((key, name))
        for (start, _), pks in wanted.items():
            for pk in pks:
                self.leads[pk].customers |= _namesakes(
                    self.paid[pk], by_start.get(start[:START], ())
                )

    def _follow_payments_before(self) -> None:
        """Find loans that the same phone, plain or by its hash, paid before."""
        wanted: dict[str, set[int]] = defaultdict(set)
        for pk, paid in self.paid.items():
            whole = score.whole_phones(paid.phone)
            for phone in {*whole, *(self.plain.get(each, each) for each in whole)}:
                wanted[phone].add(pk)
        placed = Allocation.objects.filter(
            payment__payer_phone__in=wanted, reverses=None, reversed_by=None
        )
        rows = placed.order_by().values_list("payment__payer_phone", "repayment__loan_id")
        for phone, loan in rows.distinct():
            self.paid_from[loan] |= score.whole_phones(phone)
            for pk in wanted[phone]:
                self.leads[pk].loans.add(loan)

    def _follow_slips(self) -> None:
        """Find loans whose number is one slip of the finger away from the one that was typed.

        Where most numbers are taken, some dozens are: then only those of a customer to whom
        something else leads.
        """
        slips: dict[int, list[int]] = defaultdict(list)
        for pk, paid in self.paid.items():
            if number := score.number_typed(paid):
                for key in score.near(number):
                    slips[key].append(pk)
        near: dict[int, list[int]] = defaultdict(list)
        rows = Loan.objects.active().filter(pk__in=slips).order_by()
        for key, phone, name in rows.values_list("pk", "customer__phone", "customer__name"):
            for pk in slips[key]:
                paid = self.paid[pk]
                if score.fits_mask(paid.phone, phone) or score.shares_a_name(paid, name):
                    self.leads[pk].loans.add(key)
                else:
                    near[pk].append(key)
        for pk, keys in near.items():
            if len(keys) <= MOST_NEAR:
                self.leads[pk].loans.update(keys)

    # --- What is known of what was found --------------------------------------------------------
    def _borrowers(self, *, on: date) -> dict[int, Borrower]:
        """Return every loan that was found and on which money may be placed, by its key."""
        keys = set().union(*(leads.loans for leads in self.leads.values()))
        customers = set().union(*(leads.customers for leads in self.leads.values()))
        rows = list(
            Loan.objects.filter(Q(pk__in=keys) | Q(customer_id__in=customers))
            .filter(status__in=(Loan.Status.ACTIVE, Loan.Status.APPROVED))
            .select_related("customer", "position")
            .only("status", "branch_id", "legacy_number", *KNOWN)
        )
        fees = _pay_fees_first([row.pk for row in rows if row.status == Loan.Status.APPROVED])
        rows = [row for row in rows if row.status == Loan.Status.ACTIVE or row.pk in fees]
        dues, instalments = _owing([row.pk for row in rows], on=on)
        paid_by = self._paid_by([row.pk for row in rows])
        others = self._others({row.customer_id for row in rows})
        return {
            row.pk: Borrower(
                loan=row.pk,
                customer=row.customer_id,
                name=row.customer.name,
                phone=row.customer.phone,
                id_number=row.customer.id_number,
                old_number=row.legacy_number or "",
                branch=row.branch_id,
                is_active=row.status == Loan.Status.ACTIVE,
                other_loans=frozenset(others[row.customer_id] - {row.pk}),
                due=dues.get(row.pk, ZERO),
                instalment=instalments.get(row.pk, ZERO),
                outstanding=_outstanding(row),
                paid_from=frozenset(self.paid_from.get(row.pk, ())),
                paid_by=frozenset(paid_by.get(row.pk, ())),
            )
            for row in rows
        }

    def _others(self, customers: Collection[int]) -> Mapping[int, set[int]]:
        """Return every loan of these customers, whatever became of it, by customer."""
        found: dict[int, set[int]] = defaultdict(set)
        rows = Loan.objects.filter(customer_id__in=customers).order_by()
        for key, customer in rows.values_list("pk", "customer_id"):
            found[customer].add(key)
        return found

    def _paid_by(self, loans: Collection[int]) -> Mapping[int, set[str]]:
        """Return which of the payers paid which of these loans before, by name."""
        names = {paid.name for paid in self.paid.values()} - {""}
        found: dict[int, set[str]] = defaultdict(set)
        placed = Allocation.objects.filter(
            repayment__loan_id__in=loans,
            payment__payer_name__in=names,
            reverses=None,
            reversed_by=None,
        )
        rows = placed.order_by().values_list("repayment__loan_id", "payment__payer_name")
        for loan, name in rows.distinct():
            found[loan].add(" ".join(score.words_of(name)))
        return found


def _namesakes(paid: Paid, customers: Iterable[tuple[int, str]]) -> set[int]:
    """Return who has the name that was said, and who only shares words of it if they are few."""
    same, alike = set(), set()
    for key, name in customers:
        shares, agrees = score.names_agree(paid, name)
        if agrees:
            same.add(key)
        elif shares:
            alike.add(key)
    return same | alike if len(alike) <= MOST_ALIKE else same


def _paid(payment: Payment) -> Paid:
    account = payment.account
    typed = Loan.key_of(account)
    return Paid(
        account=account,
        phone=payment.payer_phone,
        name=payment.payer_name,
        amount=payment.amount,
        customer=payment.customer_id,
        loan_typed=typed,
        old_numbers=frozenset() if typed else frozenset(spellings(account)),
        was_taken_back=payment.waits_for_staff,
    )


def _typed(paid: Paid) -> Iterable[tuple[str, object]]:
    """Return what a customer would be known by, as field and value."""
    said = paid.phone.replace(" ", "").lower()
    if "*" not in said and said:
        yield ("phone", said)
        yield ("phone_hash", said)
    if phone := phones.parse(paid.account):
        yield ("phone", phone)
    if key := score.customer_typed(paid.account):
        yield ("pk", key)
    if (number := "".join(paid.account.split()).upper()) and any(map(str.isdigit, number)):
        yield ("id_number", number)


def _any(wanted: Iterable[tuple[str, object]], names: Iterable[str]) -> Q:
    """Return the condition that a field has one of the values wanted of it."""
    found = Q()
    for name in names:
        found |= Q(**{f"{name}__in": [value for field, value in wanted if field == name]})
    return found


def _begins(letters: str) -> Q:
    """Return the condition that a name begins so, in the way the engine has an index for it."""
    if connection.vendor == "postgresql":
        return Q(name__istartswith=letters)
    return Q(upper_name__gte=letters, upper_name__lt=f"{letters}\U0010ffff")


def _pay_fees_first(loans: Collection[int]) -> set[int]:
    """Return which of these loans have fees that are paid before the disbursement."""
    before = LoanFee.objects.filter(loan_id__in=loans, when=FeeTerms.When.PAID_BEFORE)
    return set(before.order_by().values_list("loan_id", flat=True))


def _owing(loans: Collection[int], *, on: date) -> tuple[dict[int, Decimal], dict[int, Decimal]]:
    """Return what is due on each loan by a day, and what its next instalment is (KES)."""
    dues: dict[int, Decimal] = defaultdict(lambda: ZERO)
    instalments: dict[int, Decimal] = {}
    rows = Repayment.objects.unpaid().filter(loan_id__in=loans).with_totals()
    for loan, day, owing in rows.order_by("due_date", "pk").values_list(
        "loan_id", "due_date", "owing_total"
    ):
        if day <= on:
            dues[loan] += owing
        elif owing:
            instalments.setdefault(loan, money.money(owing))
    return {loan: money.money(due) for loan, due in dues.items()}, instalments


def _outstanding(loan: Loan) -> Decimal:
    return loan.position.outstanding if hasattr(loan, "position") else ZERO
