from datetime import date, datetime
from decimal import Decimal

import pytest

from lms.errors import Refused
from lms.loans.calculator import Tranche
from lms.loans.schedule import check_schedule, schedule
from tests.loans.terms import terms

D = Decimal
LENT = {"principal": D(100_000), "disbursed_on": date(2026, 1, 15)}


def by_hand(place: int, /, **cells) -> list:
    """Return a good schedule with some cells of one instalment typed over."""
    rows = schedule(terms())
    rows[place - 1] = rows[place - 1]._replace(**cells)
    return rows


def test_a_made_schedule_passes():
    assert check_schedule(schedule(terms()), **LENT) is None


def test_a_schedule_may_be_written_freely_within_the_rules():
    rows = schedule(terms(number_of_repayments=2))
    first = rows[0]._replace(
        number=10,
        due_date=date(2026, 1, 16),
        principal=D(0),
        interest=D("0.50"),
        total=D("0.50"),
        balance=D(100_000),
    )
    last = rows[1]._replace(number=20, principal=D(100_000), interest=D(0), total=D(100_000))

    assert check_schedule([first, last], **LENT) is None


WRONG = {
    "a number that does not rise": ({"number": 2}, "number", "Instalment 2: its number"),
    "a number in words": ({"number": "3"}, "number", "is not the number"),
    "a day before the last": (
        {"due_date": date(2026, 3, 15)},
        "due_date",
        "Instalment 3: it must fall due after the instalment before it, 15 Mar 2026.",
    ),
    "a time of day": ({"due_date": datetime(2026, 4, 15)}, "due_date", "not a plain date"),  # noqa: DTZ001
    "a float": ({"interest": 1698.75}, "interest", "Instalment 3: its interest is not a Decimal"),
    "no number": ({"fees": D("NaN")}, "fees", "Instalment 3: its fees is not a Decimal"),
    "an endless amount": ({"total": D("Infinity")}, "total", "its total is not a Decimal"),
    "less than nothing": ({"interest": D(-1)}, "interest", r"its interest must be KES 0\.00"),
    "half a cent": ({"principal": D("7757.005")}, "principal", "in whole cents"),
    "a total beside its parts": ({"total": D(9000)}, "total", r"the total must be KES 9,456\.00"),
    "a wrong balance": ({"balance": D(77_000)}, "balance", "Instalment 3: the balance after it"),
    "all paid too soon": (
        {"principal": D(100_000), "total": D("101698.78")},
        "principal",
        r"Instalment 3: it pays KES 15,061\.12 more than is then owed",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_cell_is_refused_by_instalment_and_field(case):
    cells, field, sentence = WRONG[case]

    with pytest.raises(Refused, match=sentence) as refusal:
        check_schedule(by_hand(3, **cells), **LENT)

    assert refusal.value.field == field


def test_the_first_instalment_falls_due_after_the_disbursement():
    with pytest.raises(Refused, match=r"Instalment 1: it must fall due after the disbursement"):
        check_schedule(by_hand(1, due_date=date(2026, 1, 15)), **LENT)


def test_the_last_instalment_leaves_nothing():
    with pytest.raises(Refused, match=r"Instalment 11: it is the last, and leaves KES 9,270\.0"):
        check_schedule(schedule(terms())[:-1], **LENT)


def test_a_schedule_without_instalments_is_none():
    with pytest.raises(Refused, match="at least one"):
        check_schedule([], **LENT)


def test_a_balance_holds_what_is_paid_out_by_then():
    later = (Tranche(date(2026, 5, 25), D(50_000)),)
    rows = schedule(terms(principal=D(50_000), tranches=later))

    check_schedule(rows, principal=D(50_000), disbursed_on=date(2026, 1, 15), tranches=later)
    with pytest.raises(Refused, match="Instalment 1: the balance after it"):
        check_schedule(rows, **LENT)
