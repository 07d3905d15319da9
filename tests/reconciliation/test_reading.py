import io
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openpyxl import Workbook

from lms import dates
from lms.reconciliation.reading import Columns, Row, balances_of, in_order, read_bank, read_mpesa
from lms.tables import TableError

FILES = Path(__file__).parents[1] / "data" / "statements"
TWO_COLUMNS = Columns(
    day="Transaction Date",
    value_date="Value Date",
    reference="Transaction Reference",
    narration="Particulars",
    debit="Debit",
    credit="Credit",
    balance="Running Balance",
)
SIGNED = Columns(
    day="Date",
    reference="Ref",
    narration="Details",
    amount="Amount",
    balance="Balance",
    date_format="month_first",
)
HEADER = (
    "Receipt No.,Completion Time,Details,Transaction Status,Paid In,Withdrawn,Balance,Reason Type"
)


def mpesa(name):
    return read_mpesa((FILES / name).read_bytes(), filename=name)


def workbook(rows):
    book, content = Workbook(), io.BytesIO()
    for row in rows:
        book.active.append(row)
    book.save(content)
    return content.getvalue()


def one(line):
    return read_mpesa(f"{HEADER}\n{line}\n".encode(), filename="s.csv")


# --- M-Pesa --------------------------------------------------------------------------------------
def test_both_conventions_of_the_statement_say_the_same():
    signed, plain = mpesa("mpesa.csv"), mpesa("mpesa_variant.csv")

    told = [(row.key, row.day, row.at, row.amount, row.balance) for row in signed.rows]
    assert told == [(row.key, row.day, row.at, row.amount, row.balance) for row in plain.rows]
    assert (signed.wrong, signed.skipped, signed.breaks) == ([], [], [])


def test_rows_come_oldest_first_and_their_balances_follow():
    rows = mpesa("mpesa.csv").rows

    assert [row.reference for row in rows[:3]] == ["UKK9ZZ0007", "UKL2CC0001", "UKL3DD0001"]
    assert balances_of(rows) == (Decimal("150000.00"), Decimal("114653.00"))


def test_a_line_keeps_what_is_needed_to_receive_the_money():
    row = next(row for row in mpesa("mpesa.csv").rows if row.reference == "UKL2MS0001")

    assert (row.day, row.amount, row.account_no) == (
        date(2026, 11, 21),
        Decimal("2500.00"),
        "ln 0001",
    )
    assert row.at == datetime(2026, 11, 21, 10, 41, 9, tzinfo=dates.EAT)
    assert row.party == "2541****033 - CHERONO KIP"


def test_a_charge_has_the_receipt_of_its_payment_and_a_key_of_its_own():
    payout, charge = (row for row in mpesa("mpesa.csv").rows if row.reference == "UKL3DD0001")

    assert (payout.amount, payout.is_charge) == (Decimal("-10000.00"), False)
    assert (charge.amount, charge.is_charge) == (Decimal("-13.00"), True)
    assert payout.key != charge.key


def test_what_failed_is_told_but_did_not_happen():
    failed = [row for row in mpesa("mpesa.csv").rows if not row.happened]

    assert [(row.reference, row.amount) for row in failed] == [("UKL3FA0001", Decimal("-20000.00"))]


def test_a_line_said_twice_is_two_lines():
    line = "UKL1AA0001,2026-11-21 10:30,x,Completed,500,,,Pay Bill"

    rows = one(f"{line}\n{line}").rows

    assert len({row.key for row in rows}) == 2


@pytest.mark.parametrize(
    ("line", "column"),
    [
        ("UKL1AA0001,31-02-2026 10:00:00,x,Completed,500,,1.00,Pay Bill", "completed"),
        ("UKL1AA0001,21-11-2026 25:00:00,x,Completed,500,,1.00,Pay Bill", "completed"),
        ("UKL1AA0001,21-11-2026 10:00:00,x,Completed,5oo,,1.00,Pay Bill", "in"),
        ("UKL1AA0001,21-11-2026 10:00:00,x,Completed,500,300,1.00,Pay Bill", "in"),
        ("UKL1AA0001,21-11-2026 10:00:00,x,Completed,,,1.00,Pay Bill", "in"),
        (",21-11-2026 10:00:00,x,Completed,500,,1.00,Pay Bill", "receipt"),
    ],
)
def test_a_line_that_cannot_be_read_is_named(line, column):
    found = one(line)

    assert [(number, name) for number, name, _ in found.wrong] == [(2, column)]
    assert found.rows == []


def test_a_balance_that_does_not_follow_is_named():
    found = one(
        "UKL1AA0001,21-11-2026 10:00:00,x,Completed,500,,1500.00,Pay Bill\n"
        "UKL1AA0002,21-11-2026 10:01:00,x,Completed,500,,2500.00,Pay Bill"
    )

    assert found.breaks == [3]


def test_another_file_is_refused():
    with pytest.raises(TableError):
        read_mpesa(b"name,phone\nWanjiku,0712345678\n", filename="customers.csv")


# --- Banks ---------------------------------------------------------------------------------------
def test_a_bank_with_two_columns_is_read_and_its_other_lines_skipped():
    found = read_bank(
        (FILES / "bank_two_columns.csv").read_bytes(), filename="b.csv", columns=TWO_COLUMNS
    )

    assert [(row.day, row.reference, row.amount) for row in found.rows] == [
        (date(2026, 11, 2), "FT26306AB1", Decimal("5000.00")),
        (date(2026, 11, 3), "CHQDEP", Decimal("12500.50")),
        (date(2026, 11, 3), "", Decimal("-150.00")),
        (date(2026, 11, 5), "FT26309ZZ9", Decimal("30000.00")),
        (date(2026, 11, 5), "FT26309ZZ9", Decimal("30000.00")),
    ]
    assert [number for number, _ in found.skipped] == [4, 10]
    assert found.rows[1].value_date == date(2026, 11, 4)
    assert found.rows[2].is_charge
    assert (found.wrong, found.breaks) == ([], [])


def test_a_bank_with_a_sign_and_the_month_first_is_read():
    found = read_bank((FILES / "bank_signed.csv").read_bytes(), filename="b.csv", columns=SIGNED)

    assert [(row.day, row.amount, row.balance) for row in found.rows] == [
        (date(2026, 11, 2), Decimal("10000.00"), Decimal("10000.00")),
        (date(2026, 11, 30), Decimal("-250.00"), Decimal("9750.00")),
    ]


def test_a_workbook_says_the_same_as_the_text():
    text = (FILES / "bank_signed.csv").read_bytes()
    sheet = [
        ["Date", "Details", "Ref", "Amount", "Balance"],
        [date(2026, 11, 30), "POS REFUND", "R-9", -250, 9750],
        [date(2026, 11, 2), "TRANSFER FROM OTIENO", "R-1", 10000, 10000],
    ]

    found = read_bank(workbook(sheet), filename="b.xlsx", columns=SIGNED)

    assert [row.key for row in found.rows] == [
        row.key for row in read_bank(text, filename="b.csv", columns=SIGNED).rows
    ]


def test_a_date_without_gaps_is_read():
    columns = Columns(day="Date", narration="Details", amount="Amount", date_format="compact")

    found = read_bank(
        b"Date,Details,Amount\n20261130,x,5.00\n2026-11-30,y,5.00\n",
        filename="b.csv",
        columns=columns,
    )

    assert [row.day for row in found.rows] == [date(2026, 11, 30)]
    assert [number for number, *_ in found.wrong] == [3]


# --- Order ---------------------------------------------------------------------------------------
@given(st.lists(st.integers(-900, 900).filter(bool), min_size=2, max_size=30), st.booleans())
def test_the_order_of_the_file_does_not_matter(amounts, is_reversed):
    balance, rows = Decimal(5000), []
    for number, amount in enumerate(amounts, 1):
        balance += amount
        rows.append(Row(number, date(2026, 11, 1 + number % 2), Decimal(amount), balance=balance))

    ordered, breaks = in_order(rows[::-1] if is_reversed else rows)

    opening, closing = balances_of(ordered)
    assert breaks == []
    assert closing - opening == sum(amounts)
