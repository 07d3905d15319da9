"""Reports as files: one writer a format, all of them with the figures of the screen."""

from collections.abc import Callable
from typing import NamedTuple

from lms.reports.files import comma, paper, workbook

__all__ = ["FORMATS", "Format"]


class Format(NamedTuple):
    """A kind of file. `most` is how many lines of a long report one file may hold."""

    label: str
    content_type: str
    write: Callable[..., bytes]
    most: int


FORMATS: dict[str, Format] = {
    "xlsx": Format(
        "Excel",
        "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
        workbook.write,
        100_000,
    ),
    "csv": Format("CSV", "text/csv; charset=utf-8", comma.write, 100_000),
    "pdf": Format("PDF", "application/pdf", paper.write, 5_000),
}
