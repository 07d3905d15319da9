"""The files that real lenders have: every spelling of the same two instalments."""

import io
from datetime import date, datetime
from decimal import Decimal

import openpyxl
import pytest

from lms.errors import Refused
from tests import books
from tests.imports.papers import DATA, HEADER, checked, counts, imported, rows, running, uploaded

pytestmark = pytest.mark.django_db

FILES = sorted(path.name for path in DATA.iterdir())


def filled(name: str, loan) -> bytes:
    """The file with the number of the loan in the spelling it asks for."""
    content = (DATA / name).read_bytes()
    codec = "utf-16" if name.startswith("utf16") else "cp1252" if "windows" in name else "utf-8"
    spellings = {
        "{loan}": loan.number,
        "{spaced}": f"LN {loan.pk:06d}",
        "{lower}": f"ln-{loan.pk}",
    }
    text = content.decode(codec)
    for mark, spelling in spellings.items():
        text = text.replace(mark, spelling)
    return text.encode(codec)


@pytest.mark.parametrize("name", FILES)
def test_a_lenders_file_comes_in_as_it_is(name):
    loan = running()

    job = imported(filled(name, loan), filename=name)

    assert counts(job) == {"new": 2}
    assert rows(loan, "number", "due_date", "principal", "interest") == [
        (1, date(2026, 2, 5), Decimal("5000.00"), Decimal("500.00")),
        (2, date(2026, 3, 5), Decimal("5000.00"), Decimal("500.00")),
    ]
    books.prove()


def test_the_corpus_is_not_empty():
    assert len(FILES) == 8


def test_an_excel_file_comes_in_with_its_dates_and_numbers():
    loan = running()
    book = openpyxl.Workbook()
    sheet = book.active
    sheet.append(["Loan book"])
    sheet.append(["Loan No", "No", "Date due", "Amount", "Principal", "Interest", "Paid"])
    sheet.append([loan.number, 1, datetime(2026, 2, 5), 5500, 5000.0, 500.00000000001, 5500])  # noqa: DTZ001
    sheet.append([loan.number, 2, "05/03/2026", "5,500.00", 5000, 500, None])
    content = io.BytesIO()
    book.save(content)

    job = imported(content.getvalue(), filename="book.xlsx")

    assert counts(job) == {"new": 2}
    assert rows(loan, "due_date", "principal", "interest", "status") == [
        (date(2026, 2, 5), Decimal("5000.00"), Decimal("500.00"), "completed"),
        (date(2026, 3, 5), Decimal("5000.00"), Decimal("500.00"), "pending"),
    ]


def test_columns_nobody_knows_are_named():
    loan = running()

    job = checked(
        HEADER.strip()
        + ",Guarantor\n"
        + f"{loan.number},1,2026-02-05,11000,10000,1000,,,,,Otieno\n"
    )

    assert job.summary["ignored"] == ["Guarantor"]


def test_a_wrong_cell_is_named_as_the_file_names_its_column():
    loan = running()

    job = checked(f"Loan No,Instalment,Date due,Amount\n{loan.number},1,2026-02-05,1.500\n")

    [line] = job.summary["wrong"]
    assert (line["line"], line["key"], line["column"]) == (2, f"{loan.number} no. 1", "Amount")


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "“book.csv” is empty. Choose the file again."),
        (
            HEADER.encode(),
            "“book.csv” has a header but no lines under it. Add the lines and bring it again.",
        ),
        (
            b"name,phone\nWanjiku,0712345678\n",
            "“book.csv” has no column for: loan, number, due_date, amount_due. The columns found "
            "on line 1 are: name, phone. Rename the columns, or start from the template.",
        ),
    ],
)
def test_a_file_that_cannot_be_read_is_refused_at_once(content, sentence, kamau):
    with pytest.raises(Refused) as refusal:
        uploaded(content, by=kamau)

    assert refusal.value.message == sentence


def test_a_file_of_one_line_is_a_file():
    loan = running()

    job = imported(f"loan,number,due_date,amount_due\n{loan.number},1,2026-02-05,11000")

    assert counts(job) == {"new": 1}


def test_a_file_that_is_too_large_is_refused(settings, kamau):
    settings.IMPORT_MAX_MEGABYTES = 0

    with pytest.raises(Refused, match=r"is larger than 0 MB"):
        uploaded(HEADER + "LN000001,1,2026-02-05,100,,,,,,\n", by=kamau)
