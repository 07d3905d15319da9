from datetime import date
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from lms.money import ZERO
from lms.reconciliation.matching import AMOUNT_AND_DAY, REFERENCE, REVERSED, Item, Line, match

DAY = date(2026, 11, 21)


def line(pk, amount, reference="", **fields):
    return Line(pk, fields.pop("day", DAY), Decimal(amount), reference, **fields)


def item(pk, amount, reference="", **fields):
    return Item(pk, fields.pop("day", DAY), Decimal(amount), reference, **fields)


def found(lines, items):
    """Pairs as (how, keys of lines, keys of entries, difference)."""
    return [
        (
            pair.how,
            tuple(line.pk for line in pair.lines),
            tuple(item.pk for item in pair.items),
            pair.difference,
        )
        for pair in match(lines, items)
    ]


def test_the_same_reference_and_amount_are_one_event():
    assert found([line(1, 500, "UKL1")], [item(9, 500, "UKL1")]) == [(REFERENCE, (1,), (9,), ZERO)]


def test_a_charge_with_the_receipt_of_its_payout_is_left():
    lines = [line(1, -13, "UKL3", is_charge=True), line(2, -10_000, "UKL3")]

    assert found(lines, [item(9, -10_000, "UKL3")]) == [(REFERENCE, (2,), (9,), ZERO)]


def test_a_charge_is_never_the_payout_itself():
    assert found([line(1, -13, "UKL3", is_charge=True)], [item(9, -10_000, "UKL3")]) == []


def test_another_amount_under_the_same_reference_differs_by_every_cent():
    assert found([line(1, "500.00", "UKL1")], [item(9, "499.99", "UKL1")]) == [
        (REFERENCE, (1,), (9,), Decimal("0.01"))
    ]


def test_a_receipt_is_not_the_reversal_of_its_reference():
    assert found([line(1, -500, "UKL1")], [item(9, 500, "UKL1")]) == []


def test_a_reversal_is_known_by_the_transaction_it_is_linked_to():
    lines = [line(1, 500, "UKL1"), line(2, -500, "UKL6", linked="UKL1")]
    items = [item(8, 500, "UKL1"), item(9, -500, "UKL1", reverses=8)]

    assert found(lines, items) == [(REFERENCE, (1,), (8,), ZERO), (REFERENCE, (2,), (9,), ZERO)]


def test_what_was_entered_and_reversed_needs_no_line():
    assert found([], [item(8, 500, "TYPO1"), item(9, -500, "TYPO1", reverses=8)]) == [
        (REVERSED, (), (8, 9), ZERO)
    ]


def test_a_reversal_in_our_books_alone_stays_missing_on_the_statement():
    items = [item(8, 500, "UKL1"), item(9, -500, "UKL1", reverses=8)]

    assert found([line(1, 500, "UKL1")], items) == [(REFERENCE, (1,), (8,), ZERO)]


def test_a_cheque_is_known_by_its_number_in_the_narration():
    lines = [line(1, 12_500, "CHQDEP", narration="Cheque deposit CHQ000123")]

    assert found(lines, [item(9, 12_500, "CHQ000123")]) == [(REFERENCE, (1,), (9,), ZERO)]


def test_a_line_said_twice_takes_one_entry():
    lines = [line(2, 500, "UKL1", repeats=True), line(3, 500, "UKL1")]

    assert found(lines, [item(9, 500, "UKL1")]) == [(REFERENCE, (3,), (9,), ZERO)]


def test_lines_of_one_reference_are_the_entry_whose_amount_they_have_together():
    lines = [line(1, -1000, "UKL9"), line(2, -30, "UKL9", is_charge=True)]

    assert found(lines, [item(9, -1030, "UKL9")]) == [(REFERENCE, (1, 2), (9,), ZERO)]


def test_parts_are_known_by_the_reference_in_their_narration():
    lines = [
        line(1, -1000, "FT1", narration="TRF UKL9AA01"),
        line(2, -30, narration="CHARGE UKL9AA01", is_charge=True),
    ]

    assert found(lines, [item(9, -1030, "UKL9AA01")]) == [(REFERENCE, (1, 2), (9,), ZERO)]


def test_an_entry_that_stands_comes_before_one_that_was_reversed():
    items = [
        item(7, -1000, "UKL9"), item(8, 1000, "UKL9", reverses=7), item(9, -1000, "UKL9"),
    ]  # fmt: skip

    assert found([line(1, -1000, "UKL9")], items) == [
        (REFERENCE, (1,), (9,), ZERO),
        (REVERSED, (), (7, 8), ZERO),
    ]


def test_own_money_is_known_by_amount_and_day_under_another_reference():
    assert found([line(1, 1000, "FT1")], [item(9, 1000, "UKL9", is_own=True)]) == [
        (AMOUNT_AND_DAY, (1,), (9,), ZERO)
    ]


def test_without_a_reference_amount_and_day_decide_where_they_leave_no_choice():
    assert found([line(1, -30_000, "UKL8")], [item(9, -30_000)]) == [
        (AMOUNT_AND_DAY, (1,), (9,), ZERO)
    ]
    assert found([line(1, -300), line(2, -300)], [item(9, -300)]) == []
    assert found([line(1, -300)], [item(8, -300), item(9, -300)]) == []
    assert found([line(1, -300)], [item(9, -300, day=date(2026, 11, 20))]) == []
    assert found([line(1, 500, "UKL1")], [item(9, 500, "UKL2")]) == []


REFERENCES = st.sampled_from(["", "A1", "B2", "C3"])
AMOUNTS = st.sampled_from([-200, -100, 100, 200])


@given(
    st.lists(st.tuples(AMOUNTS, REFERENCES, REFERENCES, st.booleans()), max_size=6),
    st.lists(st.tuples(AMOUNTS, REFERENCES), max_size=6),
)
def test_nothing_is_paired_twice_and_what_is_left_adds_up(told, moved):
    lines = [
        line(pk, amount, reference, linked=linked, repeats=repeats)
        for pk, (amount, reference, linked, repeats) in enumerate(told)
    ]
    items = [item(pk, amount, reference) for pk, (amount, reference) in enumerate(moved)]

    pairs = match(lines, items)

    used = [part.pk for pair in pairs for part in pair.lines]
    taken = [part.pk for pair in pairs for part in pair.items]
    assert len(used) == len(set(used))
    assert len(taken) == len(set(taken))
    left = sum(part.amount for part in lines if part.pk not in used) - sum(
        part.amount for part in items if part.pk not in taken
    )
    differs = sum((pair.difference for pair in pairs), ZERO)
    assert left + differs == sum(amount for amount, *_ in told) - sum(a for a, _ in moved)
