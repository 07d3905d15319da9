"""What became of each line of a file: its state, the column at fault, the sentence for staff."""

import csv
import io
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from lms.tables import neutral

NEW = "new"
CHANGED = "changed"
UNCHANGED = "unchanged"
WRONG = "wrong"
LEFT_OUT = "left_out"
STATES = (NEW, CHANGED, UNCHANGED, WRONG, LEFT_OUT)

WRONG_SHOWN = 200
CHANGES_SHOWN = 100


class Verdict:
    """One line of the file. `message` says what is wrong, or what changes: before → after."""

    __slots__ = ("column", "line", "message", "state")

    def __init__(self, line: int) -> None:
        self.line = line
        self.state = ""
        self.column = ""
        self.message = ""

    @property
    def key(self) -> str:
        """What the line is about, as the person would say it."""
        return ""

    @property
    def text(self) -> str:
        """What the line brings, for the preview of a new one."""
        return self.message

    def refuse(self, column: str, message: str) -> None:
        """Call the line wrong. The first thing found is kept."""
        if self.state != WRONG:
            self.state, self.column, self.message = WRONG, column, message

    def leave_out(self, message: str) -> None:
        """Keep a good line from being written because of another line."""
        if self.state != WRONG:
            self.state, self.message = LEFT_OUT, message


def tally(verdicts: Iterable[Verdict]) -> dict[str, int]:
    """Return how many lines are in each state."""
    found = Counter(verdict.state for verdict in verdicts)
    return {state: found[state] for state in STATES}


def report(verdicts: Iterable[Verdict], titles: Mapping[str, str]) -> bytes:
    """Return the line-by-line report as CSV that Excel opens: line, key, state, column, message."""
    text = io.StringIO()
    sheet = csv.writer(text)
    sheet.writerow(["line", "key", "state", "column", "message"])
    for verdict in verdicts:
        sheet.writerow(
            (
                verdict.line,
                neutral(verdict.key),
                verdict.state,
                neutral(titles.get(verdict.column, verdict.column)),
                neutral(verdict.message),
            )
        )
    return text.getvalue().encode("utf-8-sig")


def summary(
    verdicts: Iterable[Verdict], titles: Mapping[str, str], ignored: Sequence[str]
) -> dict[str, list]:
    """Return what the preview shows: the first wrong lines, the first changed and new ones.

    Each line is a dict of line, key, column, message; `ignored` are the columns nobody knows.
    """
    shown: dict[str, list] = {WRONG: [], CHANGED: [], NEW: [], LEFT_OUT: []}
    for verdict in verdicts:
        lines = shown.get(verdict.state)
        most = WRONG_SHOWN if verdict.state == WRONG else CHANGES_SHOWN
        if lines is not None and len(lines) < most:
            lines.append(
                {
                    "line": verdict.line,
                    "key": verdict.key,
                    "column": titles.get(verdict.column, verdict.column),
                    "message": verdict.text if verdict.state == NEW else verdict.message,
                }
            )
    return {**shown, "ignored": list(ignored)}
