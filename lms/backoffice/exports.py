"""Exports whose cells no spreadsheet will run as a formula."""

from import_export.formats.base_formats import CSV, XLSX
from openpyxl.cell.cell import ILLEGAL_CHARACTERS_RE
from tablib import Dataset

from lms.tables import neutral


def neutralised(dataset: Dataset) -> Dataset:
    """Return the dataset with texts that are safe to open: no formulas, no control characters."""

    def safe(cell: object) -> object:
        if not isinstance(cell, str):
            return cell
        return neutral(ILLEGAL_CHARACTERS_RE.sub("\N{REPLACEMENT CHARACTER}", cell))

    clean = Dataset(headers=[safe(str(name)) for name in dataset.headers or []])
    for row in dataset:
        clean.append([safe(cell) for cell in row])
    return clean


class SafeCsv(CSV):
    """CSV with neutralised cells."""

    def export_data(self, dataset, **kwargs):
        return super().export_data(neutralised(dataset), **kwargs)


class SafeXlsx(XLSX):
    """XLSX with neutralised cells."""

    def export_data(self, dataset, **kwargs):
        return super().export_data(neutralised(dataset), **kwargs)


FORMATS = [SafeCsv, SafeXlsx]
