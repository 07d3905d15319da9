from datetime import date, timedelta
from decimal import Decimal
from itertools import accumulate, pairwise

from hypothesis import assume, event, example, given, settings
from hypothesis import strategies as st

from lms.errors import Refused
from lms.loans.calculator import Fee, RepaymentCalculator
from lms.loans.schedule import check_schedule, schedule
from lms.loans.terms import CHOICES, FEE_KINDS, FEE_TIMES, Terms, Tranche, fee_sum
from tests.loans.terms import terms

D = Decimal

fees = st.builds(
    Fee,
    name=st.just("Fee"),
    kind=st.sampled_from(FEE_KINDS),
    value=st.decimals(0, 50, places=2),
    when=st.sampled_from(FEE_TIMES),
    excise_rate=st.sampled_from([D(0), D(20)]),
)
any_terms = st.fixed_dictionaries(
    {
        **{name: st.sampled_from(allowed) for name, allowed in CHOICES.items()},
        "principal": st.integers(100, 5_000_000).map(D) | st.decimals(100, 10**6, places=2),
        "annual_rate": st.decimals(0, 400, places=2),
        "number_of_repayments": st.integers(1, 60),
        "repay_every": st.integers(1, 4),
        "disbursed_on": st.dates(date(2019, 1, 1), date(2031, 12, 31)),
        "principal_grace": st.integers(0, 3),
        "interest_grace": st.integers(0, 3),
        "interest_free": st.integers(0, 3),
        "instalment_multiple": st.sampled_from([D("0.01"), D(1), D(5), D(10), D(50)]),
        "interest_multiple": st.sampled_from([D("0.01"), D(1)]),
        "fees": st.lists(fees, max_size=2).map(tuple),
        # Days and amounts beside the loan's own, so that most of them fit it.
        "first_due": st.none() | st.integers(1, 70),
        "holidays": st.frozensets(st.integers(1, 400), max_size=5),
        "fixed_instalment": st.sampled_from([None, None, D("1.1"), D("1.5")]),
        "tranches": st.lists(
            st.tuples(st.integers(1, 70), st.decimals(1, 10**6, places=2)), max_size=3
        ),
    }
)
# What random terms may be refused for: grace as long as the loan, coarse rounding, holidays.
REFUSABLE = {
    "principal_grace",
    "interest_grace",
    "instalment_multiple",
    "holiday_rule",
    "fixed_instalment",
    "tranches",
}


def terms_of(fields: dict) -> Terms:
    """Return the terms with the relative days and amounts made absolute."""
    fields, start = dict(fields), fields["disbursed_on"]
    if fields["first_due"]:
        fields["first_due"] = start + timedelta(days=fields["first_due"])
    fields["holidays"] = frozenset(start + timedelta(days=days) for days in fields["holidays"])
    if fields["fixed_instalment"]:
        share = fields["principal"] * fields["fixed_instalment"] / fields["number_of_repayments"]
        fields["fixed_instalment"] = share.quantize(D("0.01"))
    if fields["method"] not in ("flat", "declining_equal_instalments"):
        fields["fixed_instalment"] = None
    if fields["method"] == "flat":
        fields["tranches"] = []
    reached = accumulate(days for days, _ in fields["tranches"])
    amounts = [amount for _, amount in fields["tranches"]]
    fields["tranches"] = tuple(
        Tranche(start + timedelta(days=days), amount)
        for days, amount in zip(reached, amounts, strict=True)
    )
    return terms(**fields)


def test_no_field_of_the_terms_is_left_out():
    wanted = set(Terms.__dataclass_fields__)

    assert set(any_terms.wrapped_strategy.mapping) == wanted


@settings(max_examples=600, deadline=None)
@given(any_terms)
def test_every_schedule_keeps_the_rules_of_all_schedules(fields):
    try:
        wanted = terms_of(fields)
        rows = schedule(wanted)
    except Refused as refusal:
        assert refusal.field in REFUSABLE  # noqa: PT017  impossible terms name their field
        event(f"refused for {refusal.field}")
        assume(False)

    lent = sum(row.principal for row in rows)
    owed = wanted.disbursed + fee_sum(wanted, "added_to_principal").total
    capitalised = RepaymentCalculator(wanted).capitalised_interest()
    assert lent == owed + capitalised
    assert capitalised >= 0
    assert capitalised == 0 or wanted.grace_interest == "capitalised"
    tranches = sum(tranche.amount for tranche in wanted.tranches)
    check_schedule(
        rows,
        principal=lent - tranches,
        disbursed_on=wanted.disbursed_on,
        tranches=wanted.tranches,
    )
    assert rows[-1].balance == 0
    assert all(min(row.principal, row.interest, row.fees, row.balance) >= 0 for row in rows)
    assert all(row.total == row.principal + row.interest + row.fees > 0 for row in rows)
    billed = fee_sum(wanted, "first_instalment").total + fee_sum(wanted, "spread").total
    assert sum(row.fees for row in rows) == billed
    assert all(a.due_date < b.due_date for a, b in pairwise(rows))
    assert [row.number for row in rows] == list(range(1, len(rows) + 1))
    assert sum(row.days for row in rows) == (rows[-1].due_date - wanted.disbursed_on).days
    assert repr(rows) == repr(schedule(wanted))
    event("tranches" if wanted.tranches else "one disbursement")


@settings(deadline=None)
@given(any_terms)
def test_every_price_makes_payments_and_disbursements_worth_the_same(fields):
    try:
        calculator = RepaymentCalculator(terms_of(fields | {"unit": "months"}))
        eir = calculator.eir(D("1e-12"))
    except Refused:
        assume(False)
    assume(eir < 10**6)  # a rate of a million has fewer digits to be exact in

    assert calculator.apr() >= 0
    growth = 1 + eir / 100
    wanted, years = calculator.terms, calculator._years_until
    received = sum(
        (amount / growth ** years(day) for day, amount in wanted.tranches), calculator._received
    )
    if all(flow.fraction == 0 for flow in [*calculator._flows, *calculator._advances]):
        return  # whole periods: compounded from the nominal rate, held by its own tests
    repaid = sum(row.total / growth ** years(row.due_date) for row in calculator.schedule())
    assert abs(repaid - received) < D("0.01")


@settings(max_examples=50, deadline=None)
@given(st.decimals(1, 60, places=2), st.integers(2, 36), st.integers(1, 11))
@example(D(24), 12, 4)
def test_tranches_cost_their_rate_and_no_more(rate, count, month):
    assume(month < count)
    due = schedule(terms(number_of_repayments=month))[-1].due_date
    calculator = RepaymentCalculator(
        terms(
            annual_rate=rate,
            number_of_repayments=count,
            instalment_multiple=D("0.01"),
            tranches=(Tranche(due, D(50_000)),),
        )
    )

    assert abs(calculator.apr() - rate) <= D("0.01")
