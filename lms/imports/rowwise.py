"""Kinds whose lines are made one by one, by the same operations that staff pages call."""

from abc import abstractmethod
from collections.abc import Callable, Sequence

from django.core.exceptions import NON_FIELD_ERRORS, ValidationError
from django.db import transaction

from lms import tables
from lms.errors import Refused
from lms.imports.kind import Kind, Run
from lms.imports.verdicts import Verdict
from lms.tables import Table

REPORT_EVERY = 100


class RowVerdict(Verdict):
    """One line that is a record of its own, named by what identifies it."""

    __slots__ = ("name",)

    def __init__(self, line: int) -> None:
        super().__init__(line)
        self.name = ""

    @property
    def key(self) -> str:
        return self.name

    def decide(self, state: str, message: str = "") -> None:
        self.state, self.message = state, message


class Cells:
    """The cells of one line, read when asked for. A cell that cannot be read raises Refused."""

    def __init__(self, cells: dict[str, object]) -> None:
        self._cells = cells

    def has(self, name: str) -> bool:
        """Tell whether the file has the column and the cell is filled."""
        return self._cells.get(name, "") != ""

    def text(self, name: str) -> str:
        return self._read(name, tables.parse_text) if self.has(name) else ""

    def read(self, name: str, parse: Callable, default: object = None) -> object:
        """Return the parsed cell, or `default` where it is empty."""
        return self._read(name, parse) if self.has(name) else default

    def must(self, name: str, parse: Callable) -> object:
        """Return the parsed cell. Raises Refused where it is empty."""
        if not self.has(name):
            raise Refused("The cell is empty. Fill it in.", field=name)
        return self._read(name, parse)

    def choice(self, name: str, words: dict[str, str], default: str = "") -> str:
        """Return what a word stands for. Raises Refused for a word that is not in the list."""
        if not (text := self.text(name)):
            return default
        word = "".join(letter for letter in text.lower() if letter.isalnum())
        if word not in words:
            known = ", ".join(dict.fromkeys(words.values()))
            raise Refused(f"“{text}” is not one of: {known}.", field=name)
        return words[word]

    def _read(self, name: str, parse: Callable) -> object:
        try:
            return parse(self._cells[name])
        except ValueError as error:
            raise Refused(str(error), field=name) from error


class RowByRow(Kind):
    """A kind that makes one record a line.

    A check makes each record too, in a transaction of its own that is rolled back at once: what
    the operations would refuse is found before anyone confirms, and nobody waits for a lock.
    """

    weight = 10

    def run(self, table: Table, run: Run) -> Sequence[RowVerdict]:
        verdicts: list[RowVerdict] = []
        seen: dict[tuple, int] = {}
        for line in table.lines:
            verdict = RowVerdict(line.number)
            verdicts.append(verdict)
            if line.error is not None:
                verdict.refuse("", line.error)
            else:
                self._try(Cells(line.cells), verdict, seen, run)
            if len(verdicts) % REPORT_EVERY == 0:
                run.progress(len(verdicts))
        return verdicts

    def _try(self, cells: Cells, verdict: RowVerdict, seen: dict, run: Run) -> None:
        try:
            for key in self.identify(cells, verdict):
                _must_be_first(key, verdict.line, seen)
            with transaction.atomic():
                self.handle(cells, verdict, run)
                if not run.write:
                    transaction.set_rollback(True)
        except Refused as refusal:
            verdict.refuse(refusal.field or "", refusal.message)
        except ValidationError as error:
            verdict.refuse(*_first(error))

    @abstractmethod
    def identify(self, cells: Cells, verdict: RowVerdict) -> Sequence[tuple[str, str]]:
        """Name the record on the verdict; return column and value that no other line may have."""

    @abstractmethod
    def handle(self, cells: Cells, verdict: RowVerdict, run: Run) -> None:
        """Make or change the record and say on the verdict which it was."""


def _must_be_first(key: tuple[str, str], line: int, seen: dict[tuple, int]) -> None:
    """Remember what identifies a line. Raises Refused where another line has it too."""
    other = seen.setdefault(key, line)
    if other != line:
        column, value = key
        raise Refused(f"“{value}” is on line {other} already: delete one of the two.", field=column)


def _first(error: ValidationError) -> tuple[str, str]:
    """Return the field and sentence of the first thing that a form would show."""
    if not hasattr(error, "error_dict"):
        return "", error.messages[0]
    field, sentences = next(iter(error.message_dict.items()))
    return "" if field == NON_FIELD_ERRORS else field, sentences[0]
