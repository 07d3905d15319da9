"""The proof that every test of money may call: the books and the loans tell the same story."""

from collections import defaultdict
from decimal import Decimal

from lms.closing import proofs
from lms.ledger import chart
from lms.ledger.models import Account, Transfer
from lms.loans.allocation import COMPONENTS
from lms.loans.models import Allocation, FeePayment, Loan, Position, Recovery, Repayment
from lms.loans.operations.collection import RECEIVABLES
from lms.money import ZERO
from lms.mpesa.models import B2cPayment
from lms.payments.models import Payment, Payout, Refund
from lms.tills.models import Banking, DrawerSession, TillTransfer
from tests.postings import unlisted


def balances(**where) -> dict[str, Decimal]:
    """The debit balance of every account, summed here rather than in SQL."""
    found: dict[str, Decimal] = defaultdict(lambda: ZERO)
    for debit, credit, amount in Transfer.objects.filter(**where).values_list(
        "debit_id", "credit_id", "amount"
    ):
        found[debit] += amount
        found[credit] -= amount
    return found


def together(found: dict[str, Decimal]) -> dict[str, Decimal]:
    """The same, with each account that stands for a common one counted with it."""
    sums: dict[str, Decimal] = defaultdict(lambda: ZERO)
    for code, amount in found.items():
        sums[Account.objects.get(pk=code).stands_for_id or code] += amount
    return sums


def prove() -> None:
    """Assert that control accounts, positions, instalments, allocations and payments agree.

    Twice: as `prove_books` counts in SQL, and row by row here.
    """
    assert [proved for proved in proofs.prove() if not proved.holds] == []
    assert unlisted() == []
    booked = together(balances())
    assert sum(booked.values(), ZERO) == 0
    _instalments_are_the_control_accounts(booked)
    _allocations_are_what_is_paid()
    _receipts_are_placed_or_waiting(booked)
    _positions_are_their_rows()
    _drawers_are_their_movements(booked)
    _payouts_are_their_parts(booked)


def _instalments_are_the_control_accounts(booked: dict[str, Decimal]) -> None:
    owed: dict[str, Decimal] = defaultdict(lambda: ZERO)
    for row in Repayment.objects.all():
        for name in COMPONENTS:
            assert row.owing_of(name) >= 0
            owed[name] += row.owing_of(name)
    owed["principal"] += sum((p.unscheduled for p in Position.objects.all()), ZERO)
    for name in COMPONENTS:
        assert booked[RECEIVABLES[name]] == owed[name], name
        assert sum((getattr(p, name) for p in Position.objects.all()), ZERO) == owed[name]


def _allocations_are_what_is_paid() -> None:
    paid = {
        (row.pk, name): getattr(row, f"{name}_paid")
        for row in Repayment.objects.all()
        for name in COMPONENTS
        if getattr(row, f"{name}_paid")
    }
    allocated: dict[tuple, Decimal] = defaultdict(lambda: ZERO)
    by_payment: dict[int, Decimal] = defaultdict(lambda: ZERO)
    for part in Allocation.objects.all():
        allocated[part.repayment_id, part.component] += part.amount
        by_payment[part.payment_id] += part.amount
    assert {key: value for key, value in allocated.items() if value} == paid
    for recovery in Recovery.objects.all():
        by_payment[recovery.payment_id] += recovery.amount
    for part in FeePayment.objects.standing():
        by_payment[part.payment_id] += part.amount
    for payment in Payment.objects.all():
        assert payment.allocated == by_payment[payment.pk]


def _receipts_are_placed_or_waiting(booked: dict[str, Decimal]) -> None:
    standing = Payment.objects.standing()
    for payment in standing.filter(status=Payment.Status.ALLOCATED):
        assert payment.unallocated == 0
    _refunds_are_what_was_paid_back()
    assert -booked[chart.UNALLOCATED] == sum((p.unallocated for p in standing), ZERO)
    assert -booked[chart.CUSTOMER_CREDIT] == sum((p.credited for p in standing), ZERO)


def _refunds_are_what_was_paid_back() -> None:
    given: dict[int, Decimal] = defaultdict(lambda: ZERO)
    for refund in Refund.objects.select_related("payout"):
        if refund.payout.reversed_on is None:
            given[refund.payment_id] += refund.amount
    for payment in Payment.objects.all():
        assert payment.refunded == given[payment.pk]
    for payout in Payout.objects.filter(kind=Payout.Kind.REFUND):
        assert payout.amount == sum((refund.amount for refund in payout.refunds.all()), ZERO)


def _drawers_are_their_movements(booked: dict[str, Decimal]) -> None:
    held = ZERO
    for drawer in DrawerSession.objects.all():
        assert drawer.status != DrawerSession.Status.CLOSED or drawer.holds() == 0
        held += drawer.holds()
    on_the_way = [*TillTransfer.objects.waiting(), *Banking.objects.in_transit()]
    assert booked[chart.TILL_CASH] == held
    assert booked[chart.CASH_IN_TRANSIT] == sum((each.amount for each in on_the_way), ZERO)
    assert booked[chart.BETWEEN_BRANCHES] == 0


def _payouts_are_their_parts(booked: dict[str, Decimal]) -> None:
    promised = ZERO
    for payout in Payout.objects.filter(method=Payout.Method.B2C).exclude(status="reversed"):
        arrived = payout.parts.filter(status="paid", is_adrift=False)
        paid = sum((part.amount for part in arrived), ZERO)
        assert payout.arrived == paid
        promised += payout.amount - paid
    assert -booked[chart.PAYOUTS_ON_THEIR_WAY] == promised
    adrift = B2cPayment.objects.filter(is_adrift=True)
    assert booked[chart.SUSPENSE] == sum((part.amount for part in adrift), ZERO)


def _positions_are_their_rows() -> None:
    loans = Loan.objects.filter(disbursed_on__isnull=False).order_by("pk")
    status = dict(loans.values_list("pk", "status"))
    found = Position.objects.filter(pk__in=status).order_by("pk")
    before = list(found.values())
    Position.objects.rebuild(list(status))
    after = list(found.values())
    assert [position["loan_id"] for position in after] == list(status)
    for kept, rebuilt in zip(before, after, strict=True):
        assert kept == rebuilt
        if status[kept["loan_id"]] == Loan.Status.CLOSED:
            assert sum((rebuilt[name] for name in COMPONENTS), ZERO) == 0
