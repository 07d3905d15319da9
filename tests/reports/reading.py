"""Reports as plain texts, to compare."""

from lms.reports.shape import Report, shown


def texts(report: Report) -> list[list[str]]:
    """Return each row as its texts, the empty ones left out."""
    return [[shown(c.value) for c in row.cells if shown(c.value)] for row in report.rows]


def line(report: Report, start: str) -> list[str]:
    """Return the figures of the one row that starts with this text."""
    found = [row for row in texts(report) if row and row[0] == start]
    assert len(found) == 1, (start, [row[0] for row in texts(report) if row])
    return found[0][1:]
