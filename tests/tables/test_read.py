import codecs
import io
import zipfile
from datetime import date, datetime
from decimal import Decimal

import openpyxl
import pytest

from lms import tables
from lms.tables import Line, TableError

COLUMNS = {
    "loan": ["loan no", "account"],
    "due_date": ["due", "date due"],
    "amount_due": ["amount", "instalment"],
    "notes": [],
}
REQUIRED = ["loan", "due_date", "amount_due"]
ROW = {"loan": "LN000001", "due_date": "31/01/2026", "amount_due": "1,234.50"}


def read(content, **options):
    content = content.encode() if isinstance(content, str) else content
    given = {"filename": "book.csv", "columns": COLUMNS, "required": REQUIRED, **options}
    return tables.read(content, **given)


def lines(content, **options):
    return list(read(content, **options).lines)


def workbook(*sheets, hidden=()):
    book = openpyxl.Workbook()
    book.remove(book.active)
    for number, rows in enumerate(sheets):
        sheet = book.create_sheet(f"Sheet{number}")
        sheet.sheet_state = "hidden" if number in hidden else "visible"
        for row in rows:
            sheet.append(row)
    file = io.BytesIO()
    book.save(file)
    return file.getvalue()


def repacked(content, part, change):
    """Return the workbook with the text of one part changed."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(out, "w") as new:
        for name in old.namelist():
            text = old.read(name)
            new.writestr(name, change(text.decode()).encode() if name == part else text)
    return out.getvalue()


# CSV

PLAIN = 'loan,due_date,amount_due\nLN000001,31/01/2026,"1,234.50"\n'


@pytest.mark.parametrize(
    "content",
    [
        PLAIN.encode(),
        codecs.BOM_UTF8 + PLAIN.encode(),
        PLAIN.encode("utf-16"),
        codecs.BOM_UTF16_BE + PLAIN.encode("utf-16-be"),
        PLAIN.replace("\n", "\r\n").encode(),
        PLAIN.replace("\n", "\r").encode(),
        PLAIN.rstrip("\n").encode(),
        b"loan;due_date;amount_due\nLN000001;31/01/2026;1,234.50\n",
        b"loan\tdue_date\tamount_due\nLN000001\t31/01/2026\t1,234.50\n",
        b"loan|due_date|amount_due\nLN000001|31/01/2026|1,234.50\n",
        b'Loan No.,Date-Due,AMOUNT_DUE\nLN000001, 31/01/2026 , "1,234.50" \n'.replace(b'" ', b'"'),
        b' "Account" ,DUE DATE,Instalment,,\nLN000001,31/01/2026,"1,234.50",,\n'.replace(
            b'" ', b'"'
        ),
        b',loan,due,amount\n0,LN000001,31/01/2026,"1,234.50"\n',
        'loan,due,amount\n\xa0LN000001\xa0,31/01/2026,"1,234.50"\n'.encode("cp1252"),
    ],
)
def test_the_same_table_is_read_from_every_spelling_of_it(content):
    table = read(content)

    assert table.columns == REQUIRED
    assert table.ignored == []
    assert list(table.lines) == [Line(2, ROW)]


def test_the_separator_that_excel_names_in_the_first_line_is_used():
    content = "sep=;\r\nloan;due;amount\r\nLN000001;31/01/2026;1,234.50\r\n"

    assert lines(content) == [Line(3, ROW)]


def test_blank_lines_are_skipped_but_counted_and_quoted_line_breaks_too():
    content = 'loan,due,amount,notes\n\n,,,\nLN1,1/2/2026,5,"two\nlines"\n \t\nLN2,2/2/2026,6\n'

    assert lines(content) == [
        Line(4, {"loan": "LN1", "due_date": "1/2/2026", "amount_due": "5", "notes": "two\nlines"}),
        Line(7, {"loan": "LN2", "due_date": "2/2/2026", "amount_due": "6", "notes": ""}),
    ]


def test_a_separator_that_cannot_be_one_is_not_believed():
    assert lines('sep="\nloan,due,amount\nLN1,1/2/2026,5\n')[0].number == 3


def test_lines_above_the_header_are_skipped():
    content = "Pesa Ltd,Loan book\nPeriod,2026\n\nloan,due,amount\nLN1,1/2/2026,5\n"

    assert lines(content) == [Line(5, {"loan": "LN1", "due_date": "1/2/2026", "amount_due": "5"})]


def test_a_header_below_ten_other_lines_is_found_and_below_eleven_is_not():
    table = "loan,due,amount\nLN1,1/2/2026,5\n"

    assert [line.number for line in lines("x\n" * 10 + table)] == [12]
    with pytest.raises(TableError, match="has no column for: loan, due_date, amount_due"):
        read("x\n" * 11 + table)


def test_unknown_columns_are_ignored_and_named_and_titles_are_kept():
    table = read("loan,Branch,Date Due,Amount,Officer\nLN1,Thika,1/2/2026,5,Kamau\n")

    assert table.ignored == ["Branch", "Officer"]
    assert table.titles == {"loan": "loan", "due_date": "Date Due", "amount_due": "Amount"}


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ("LN1,1/2/2026,1,234\n", "“234” stands in column 4"),
        ("LN1,#REF!,5\n", "Column “due” holds the spreadsheet error #REF!. Correct"),
        ('LN1,"1/2/2026" x,5\n', r'The quotation marks \("\) on this line do not pair up'),
        ('LN1,"1/2/2026,5\n', r'The quotation marks \("\) on this line do not pair up'),
        (f"LN1,{'x' * 32_769},5\n", "longer than 32768 characters. Shorten it"),
        (f"LN1,{'x' * 200_000},5\n", "longer than 32768 characters. Shorten it"),
    ],
)
def test_a_bad_line_says_what_is_wrong_with_it_and_spares_its_neighbours(body, error):
    before, bad = lines("loan,due,amount\nLN0,1/1/2026,4\n" + body)

    assert before.error is None
    assert bad.number == 3
    with pytest.raises(ValueError, match=error):
        raise ValueError(bad.error)


def test_the_line_after_a_bad_quotation_mark_keeps_its_number():
    good = lines('loan,due,amount\nLN1,"1/2"x,5\n\nLN2,2/2/2026,6\n')[-1]

    assert good == Line(4, {"loan": "LN2", "due_date": "2/2/2026", "amount_due": "6"})


def test_a_value_under_a_column_without_a_title_is_an_error_unless_the_column_stands_first():
    inside = lines("loan,due,amount,,notes\nLN1,1/2/2026,1,234,late\n")
    first = lines(",loan,due,amount\n0,LN1,1/2/2026,5\n")

    assert inside[0].error.startswith("“234” stands in column 4, which has no title.")
    assert first[0].error is None


def test_a_quotation_mark_that_swallows_the_file_is_named_by_its_line():
    table = read('loan,due,amount\nLN1,1/1/2026,4\nLN2,"1/1/2026,4\n' + "LN3,1/1/2026,4\n" * 200)

    assert next(table.lines).number == 2
    with pytest.raises(
        TableError, match=r"opened on line 3 is not closed within 100 lines\. Close"
    ):
        next(table.lines)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "“book.csv” is empty"),
        (b" \r\n\r\n", "“book.csv” is empty"),
        (codecs.BOM_UTF8, "No table was found"),
        (
            b"loan,amount\nLN1,5\n",
            r"no column for: due_date\. The columns found on line 1 are: loan, a",
        ),
        (b"loan,due,amount,Account\n", "two columns for loan: “loan” and “Account”"),
        (b"loan,due,amount\nLN1,1/1/2026,5\nLN\x002,2,5\n", "line 3 holds a NUL character"),
        ("loan,due,amount\n".encode("utf-16-le"), "line 1 holds a NUL character"),
        (codecs.BOM_UTF16_LE + b"odd", "letters that cannot be read"),
        (b"loan,due,amount\n\x81\x8d,1,2\n", "letters that cannot be read"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1 old", "old Excel workbook .* save it as .xlsx or .csv"),
        (b"<html><table><tr><td>loan</td></tr></table>", "web page or document"),
        (b"%PDF-1.7 loan,due,amount", "web page or document"),
        (b"PK\x03\x04 not a zip", "cannot be read as an Excel workbook"),
        (",".join(f"c{n}" for n in range(201)).encode(), "more than 200 columns"),
    ],
)
def test_a_file_that_is_no_table_is_refused_with_what_to_do(content, sentence):
    with pytest.raises(TableError, match=sentence):
        read(content)


# Excel

HEAD = ["Loan No", "Due", "Amount", "Notes"]


def test_cells_of_a_workbook_are_typed_whatever_the_file_is_called():
    content = workbook(
        [
            ["Loan book of Pesa Ltd"],
            [],
            HEAD,
            ["LN1", date(2026, 1, 31), 1234.5, True],
            [],
            [" 12 ", datetime.fromisoformat("2026-02-28T09:30"), 0.3, None],
            [7, "31/03/2026", 1500.0, 0],
        ]
    )

    assert lines(content, filename="book.csv") == [
        Line(
            4, dict(zip(COLUMNS, ["LN1", date(2026, 1, 31), Decimal("1234.5"), True], strict=True))
        ),
        Line(
            6,
            {
                "loan": "12",
                "due_date": datetime.fromisoformat("2026-02-28T09:30"),
                "amount_due": Decimal("0.3"),
                "notes": "",
            },
        ),
        Line(7, dict(zip(COLUMNS, [7, "31/03/2026", 1500, 0], strict=True))),
    ]


def test_the_first_visible_sheet_with_the_header_is_taken():
    row = ["LN1", "1/2/2026", 5, None]
    content = workbook(
        [HEAD, ["hidden", "", 1, ""]], [["About"], ["Loan book"]], [HEAD, row], [HEAD], hidden=[0]
    )

    assert [line.cells["loan"] for line in lines(content)] == ["LN1"]


def test_formulas_give_their_results_and_those_without_one_are_errors():
    content = workbook([HEAD, ["LN1", "1/2/2026", "=2+3", ""], ["LN2", "1/2/2026", "=2+4", '=""']])
    calculated = repacked(
        content,
        "xl/worksheets/sheet1.xml",
        lambda xml: (
            xml.replace("<f>2+3</f><v></v>", "<f>2+3</f><v>5</v>")
            .replace("<f>2+3</f><v />", "<f>2+3</f><v>5</v>")
            .replace('<c r="D3"><f>""</f>', '<c r="D3" t="str"><f>""</f>')
        ),
    )

    first, second = lines(calculated)

    assert (first.cells["amount_due"], first.error) == (5, None)
    assert second.cells["notes"] == ""
    assert second.error.startswith("The formula in column “Amount” has no result yet. Open")


def test_a_spreadsheet_error_and_a_stray_cell_are_errors_of_their_line():
    content = workbook(
        [HEAD, ["LN1", "1/2/2026", "#REF!"], ["LN2", "1/2/2026", 5, "", "moved"], ["LN3", "", 5]]
    )

    wrong, moved, good = lines(content)

    assert wrong.error.startswith("Column “Amount” holds the spreadsheet error #REF!.")
    assert moved.error.startswith("“moved” stands in column 5")
    assert good.error is None


def test_a_zip_bomb_is_refused_before_it_is_unpacked():
    bomb = io.BytesIO()
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("xl/worksheets/sheet1.xml", b" " * (11 * 1024 * 1024))

    with pytest.raises(TableError, match=r"unpacks to 11 MiB, which is too much\. Split"):
        read(bomb.getvalue())
    with pytest.raises(TableError, match="Split it into smaller files"):
        read(workbook([HEAD]), max_unpacked=1000)


def test_an_entity_bomb_is_refused():
    bomb = repacked(
        workbook([HEAD, ["LN1", "1/2/2026", 5]]),
        "xl/worksheets/sheet1.xml",
        lambda xml: '<!DOCTYPE x [<!ENTITY a "LOL"><!ENTITY b "&a;&a;">]>' + xml,
    )

    with pytest.raises(TableError, match="cannot be read as an Excel workbook"):
        read(bomb)


@pytest.mark.parametrize(
    "change",
    [
        lambda xml: xml.replace('r="2"', 'r="99999999999"').replace('"A2"', '"A99999999999"'),
        lambda xml: xml.replace('ref="A1:D2"', 'ref="A1:XFD1048576"'),
        lambda xml: xml.replace('ref="A1:D2"', 'ref="A1"'),
        lambda xml: xml.replace('r="C2"', 'r="ZZZ2"'),
    ],
)
def test_a_sheet_that_lies_about_its_size_costs_nothing(change):
    content = repacked(
        workbook([HEAD, ["LN1", "1/2/2026", 5, "x"]]), "xl/worksheets/sheet1.xml", change
    )

    assert len(lines(content)) <= 1


def test_damage_found_while_reading_is_a_sentence_too():
    content = repacked(
        workbook([HEAD, *[["LN1", "1/2/2026", 5]] * 300]),
        "xl/worksheets/sheet1.xml",
        lambda xml: xml[: len(xml) * 3 // 4],
    )

    with pytest.raises(TableError, match="cannot be read as an Excel workbook"):
        lines(content)


def test_a_zip_of_something_else_is_refused():
    other = io.BytesIO()
    with zipfile.ZipFile(other, "w") as archive:
        archive.writestr("letter.txt", "Dear Wanjiku")

    with pytest.raises(TableError, match="cannot be read as an Excel workbook"):
        read(other.getvalue())
