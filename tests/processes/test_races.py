"""What many do at the same moment, in real processes."""

from datetime import date, timedelta
from decimal import Decimal

import pytest

from lms.mpesa.simulator import Simulator
from tests.processes import scenes

pytestmark = pytest.mark.processes


def test_200_simultaneous_copies_of_a_callback_make_one_payment(office):
    storm = scenes.storm(office, receipts=1, copies=200, confirmations=0)

    assert storm.answers == [200] * 200
    assert office.ask("callbacks") == {"applied": 1, "duplicate": 199}
    assert office.ask("payments") == {
        "count": 1,
        "placed": 1,
        "received": Decimal("500.00"),
        "allocated": Decimal("500.00"),
        "credited": Decimal("0.00"),
    }
    office.ask("prove")


def test_copies_of_20_receipts_mixed_with_their_confirmations_make_20_payments(office):
    storm = scenes.storm(office, receipts=20, copies=16, confirmations=4)

    assert storm.answers == [200] * 400
    assert office.ask("callbacks") == {"applied": 20, "duplicate": 380}
    assert office.ask("references") == [scenes.receipt_of(n) for n in range(20)]
    assert office.ask("payments")["allocated"] == Decimal("10000.00")
    office.ask("prove")


def test_two_cashiers_who_post_to_one_loan_at_once_lose_nothing(office):
    ((number, owed),) = office.ask("lend", 1, 100_000, 12)

    scenes.cashiers(office, [(number, Decimal("317.35"))] * 100)

    assert office.ask("payments") == {
        "count": 200,
        "placed": 200,
        "received": Decimal("63470.00"),
        "allocated": Decimal("63470.00"),
        "credited": Decimal("0.00"),
    }
    assert office.ask("outstanding", number) == owed - Decimal("63470.00")
    office.ask("prove")


def test_two_cashiers_who_both_take_the_last_instalment_leave_one_of_them_as_credit(office):
    lent = office.ask("lend", 15, 5_000, 1)

    scenes.cashiers(office, lent)

    owed = sum(amount for _, amount in lent)
    assert office.ask("payments") == {
        "count": 30,
        "placed": 30,
        "received": 2 * owed,
        "allocated": owed,
        "credited": owed,
    }
    assert [office.ask("outstanding", number) for number, _ in lent] == [0] * 15
    office.ask("prove")


def test_money_of_today_and_of_last_month_posted_at_once_in_a_night_ends_in_order(office):
    raced, in_order = office.ask("lend_dearly", 10_000), office.ask("lend_dearly", 10_000)
    today, rounds = date(2026, 3, 2), 12
    earlier = [date(2026, 2, 12) + timedelta(days=n) for n in range(rounds)]

    office.together(
        "side_by_side",
        ("pay", [today] * rounds, raced),
        ("pay", earlier[::-1], raced),
        ("night", rounds),
    )
    for number, day in enumerate((*earlier, *[today] * rounds)):
        office.ask("pay_from", day, in_order, number)

    assert office.ask("instalments", raced) == office.ask("instalments", in_order)
    office.ask("prove")


def test_a_reference_posted_by_eight_processes_at_once_is_one_payment(office):
    ((number, _),) = office.ask("lend", 1, 100_000, 12)
    slips = [f"SLIP-{n}" for n in range(10)]

    firsts = office.together("post_the_same", *[(slips, number)] * 8)

    assert sum(firsts) == 10
    assert office.ask("references") == slips
    office.ask("prove")


def test_two_processes_that_need_a_token_at_once_share_one(office):
    with Simulator() as daraja:
        first, second = office.together("fetch_tokens", (daraja.url, 3), (daraja.url, 3))

    assert daraja.books.tokens_made == 1
    assert first == second == [daraja.books.token] * 3
