from datetime import date, timedelta
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from lms.loans.duplum import Default, allowance, freeze, limit, proof

D = Decimal
NPL = Default(npl_on=date(2026, 5, 1), principal=D(10_000))


def test_a_loan_over_the_cap_when_it_stops_performing_recovers_twice_its_principal():
    # 10,000 with 1,500 interest, 1% of 11,500 a day from day 31: by day 121 it is 11,965.
    penalties = 115 * D(121 - 30)

    shown = proof(NPL, interest=D(1500), penalties=penalties)

    assert shown.charges == D(11_965)
    assert (shown.cap, shown.charges_recoverable) == (D(10_000), D(10_000))
    assert shown.suspended == D(1965)
    assert shown.recoverable == D(20_000)
    assert allowance(principal_at_npl=NPL.principal, unpaid_charges=shown.charges) == 0


def test_costs_of_recovery_stand_outside_the_cap():
    shown = proof(NPL, interest=D(12_000), penalties=D(0), costs=D(500))

    assert shown.recoverable == D(20_500)
    assert shown.suspended == D(2000)


def test_a_charge_is_posted_up_to_the_cap_and_the_rest_suspended():
    assert limit(D(115), principal_at_npl=D(10_000), unpaid_charges=D(9800)) == (115, 0)
    assert limit(D(115), principal_at_npl=D(10_000), unpaid_charges=D(9930)) == (70, 45)
    assert limit(D(115), principal_at_npl=D(10_000), unpaid_charges=D(11_965)) == (0, 115)


def test_a_performing_loan_is_charged_without_limit():
    assert limit(D(115), principal_at_npl=None, unpaid_charges=D(50_000)) == (115, 0)


def test_a_payment_of_interest_makes_room_for_new_charges_but_the_principal_stays_frozen():
    assert allowance(principal_at_npl=D(10_000), unpaid_charges=D(10_000)) == 0
    assert allowance(principal_at_npl=D(10_000), unpaid_charges=D(9400)) == D(600)

    shown = proof(NPL, principal=D(4000), interest=D(6000), penalties=D(4000))

    assert shown.recoverable == D(14_000)


def test_what_was_suspended_stays_in_the_proof():
    shown = proof(NPL, interest=D(1500), penalties=D(8500), already_suspended=D(1965))

    assert (shown.charges, shown.suspended, shown.recoverable) == (11_965, 1965, 20_000)


def default_after(*nights):
    """Return the default after nights of (non-performing, arrears, principal)."""
    default = None
    for count, (non_performing, arrears, principal) in enumerate(nights):
        default = freeze(
            default,
            non_performing=non_performing,
            arrears=D(arrears),
            principal=D(principal),
            on=date(2026, 5, 1) + timedelta(days=count),
        )
    return default


def test_the_principal_is_frozen_on_the_day_of_the_default():
    assert default_after((True, 3000, 10_000), (True, 2000, 9000)) == NPL


def test_a_default_stays_while_any_arrears_are_left():
    assert default_after((True, 3000, 10_000), (False, 1, 7001)) == NPL


def test_a_second_default_starts_anew():
    cured = ((True, 3000, 10_000), (False, 0, 7000))

    assert default_after(*cured) is None
    assert default_after(*cured, (True, 1000, 6000)) == Default(date(2026, 5, 3), D(6000))


amounts = st.decimals(0, 100_000, places=2)


@given(amounts, amounts, st.lists(amounts, max_size=12))
def test_charges_never_grow_past_the_cap_and_no_cent_is_lost(principal, unpaid, charges):
    start, suspended = unpaid, D(0)
    for charge in charges:
        part = limit(charge, principal_at_npl=principal, unpaid_charges=unpaid)
        unpaid, suspended = unpaid + part.posted, suspended + part.suspended

    assert unpaid <= max(principal, start)
    assert unpaid + suspended == start + sum(charges, D(0))
    shown = proof(
        Default(date(2026, 5, 1), principal),
        interest=unpaid,
        penalties=D(0),
        already_suspended=suspended,
    )
    assert shown.recoverable + shown.suspended == principal + shown.charges
