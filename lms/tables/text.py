"""CSV and other delimited text."""

import codecs
import csv
import io
import re
from collections.abc import Collection, Iterable, Iterator, Mapping

from lms.tables.layout import MAX_CELL, Header, Row, TableError, find_header, rank

MAX_RECORD = 100  # lines that one quoted record may span


def open_text(
    content: bytes, filename: str, names: Mapping[str, str], required: Collection[str]
) -> tuple[Header, Iterator[Row]]:
    """Return the header of delimited text and the rows under it."""
    encoding = _encoding(content, filename)

    def lines() -> io.TextIOWrapper:
        # newline="" leaves line ends inside quotes to the csv module.
        return io.TextIOWrapper(io.BytesIO(content), encoding=encoding, newline="")

    opening = next((line for line in lines() if line.strip()), "").strip("\r\n")
    if opening.lstrip().startswith("<") or opening.startswith("%PDF"):
        raise TableError(
            f"“{filename}” is a web page or document, not a table. "
            "Open it in Excel and save it as .xlsx or .csv."
        )
    told = re.fullmatch(r'"?sep=([^"\w ])"?', opening, re.IGNORECASE)
    best, chosen = None, ","
    for delimiter in told[1] if told else ",;\t|":
        header = _find_text_header(_records(lines(), delimiter), names, required)
        if header and (best is None or rank(header) < rank(best)):
            best, chosen = header, delimiter
    if best is None:
        raise TableError(
            f"No table was found in “{filename}”. Open it in Excel and save it as .xlsx or .csv."
        )
    return best, (row for row in _records(lines(), chosen) if row[0] > best.number)


def _find_text_header(rows: Iterator[Row], names: Mapping[str, str], required) -> Header | None:
    try:
        return find_header(rows, names, required)
    except TableError:  # With the wrong delimiter, quotation marks do not pair up.
        return None


def _encoding(content: bytes, filename: str) -> str:
    """Return the codec that reads every byte: UTF-16 by its mark, else UTF-8, else Windows."""
    marked = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    for codec in ["utf-16"] if marked else ["utf-8-sig", "cp1252"]:
        decoder = codecs.getincrementaldecoder(codec)()
        size, line = 1 << 20, 1
        try:
            for start in range(0, len(content), size):
                text = decoder.decode(content[start : start + size], start + size >= len(content))
                if "\0" in text:
                    line += text.count("\n", 0, text.index("\0"))
                    raise TableError(
                        f"“{filename}” is damaged or not a table: line {line} holds a NUL "
                        "character. Open it in Excel and save it as .xlsx or .csv."
                    )
                line += text.count("\n")
        except UnicodeDecodeError:
            continue
        return codec
    raise TableError(
        f"“{filename}” holds letters that cannot be read. "
        "Open it in Excel and save it as “CSV UTF-8 (Comma delimited)”."
    )


def _records(lines: Iterable[str], delimiter: str) -> Iterator[Row]:
    """Yield the records of delimited text, each with the line on which it starts.

    Raises TableError where a quotation mark swallows more than MAX_RECORD lines.
    """
    start = 1

    def feed() -> Iterator[str]:
        for number, line in enumerate(lines, 1):
            if number - start >= MAX_RECORD:
                raise TableError(
                    f'The quotation mark (") opened on line {start} is not closed within '
                    f"{MAX_RECORD} lines. Close it or remove it."
                )
            yield line

    # strict, so that a quotation mark left open is reported instead of eating the lines after it.
    reader = csv.reader(feed(), delimiter=delimiter, strict=True, skipinitialspace=True)
    while True:
        try:
            for row in reader:
                yield start, row, None
                start = reader.line_num + 1
        except csv.Error as error:
            if "limit" in str(error):
                problem = f"A cell is longer than {MAX_CELL} characters. Shorten it."
            else:
                problem = (
                    'The quotation marks (") on this line do not pair up. '
                    "Put one before and one after the text, or remove them."
                )
            yield start, [], problem
            start = reader.line_num + 1
        else:
            return
