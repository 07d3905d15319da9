"""Who brought whom: Wanjiku brings Otieno and others, who borrow a little and pay it back."""

from datetime import date
from decimal import Decimal

from lms.customers.models import Customer
from lms.loans.models import Loan
from lms.referrals import operations
from lms.referrals.models import ReferralReward
from tests import factories
from tests.loans.test_settling import pay

D = Decimal
DUE = date(2026, 2, 15)
NIGHT = DUE
ON = date(2026, 2, 16)


def brought(number: int = 0, referrer: Customer | None = None) -> Customer:
    """Somebody new, of whom Njeri writes down that Wanjiku brought them."""
    referrer = referrer or factories.wanjiku()
    person = factories.otieno() if not number else factories.customer(
        f"Mwende Mutiso{'i' * number}", f"2547110003{number:02d}"
    )  # fmt: skip
    return operations.set_referrer(
        person, referrer=referrer, by=factories.njeri(), on=factories.DAY
    )


def lent(customer: Customer, **fields) -> Loan:
    """10,000 for one month at 2%: KES 10,200.00 on 15 February."""
    product = factories.product(code="MKOPO", number_of_repayments=1)
    return factories.active(D(10_000), product=product, customer=customer, **fields)


def paid_back(customer: Customer, *, on: date = DUE) -> Loan:
    loan = lent(customer)
    pay(loan, 10_200, on=on)
    loan.refresh_from_db()
    assert loan.status == "closed"
    return loan


def proposed(number: int = 0, referrer: Customer | None = None) -> ReferralReward:
    """The reward for somebody new who paid back, as the night proposes it."""
    customer = brought(number, referrer)
    paid_back(customer)
    operations.propose(on=NIGHT)
    return ReferralReward.objects.get(referred=customer)
