"""What every kind of import is: its columns, who may bring it, and how its lines are handled."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import PurePath

from lms.imports.verdicts import Verdict
from lms.staff.models import Staff
from lms.tables import Table


@dataclass(frozen=True, slots=True)
class Run:
    """One walk through a file: for whom, for which day, and whether it writes.

    `progress` is told how many lines are handled. A run that writes is inside the transaction of
    its caller.
    """

    by: Staff
    on: date
    job_id: int
    filename: str
    write: bool
    progress: Callable[[int], None]

    def reason(self, line: int) -> str:
        """Return the reason that history keeps for what a line changed."""
        return f"Imported from {self.source}, line {line}"

    @property
    def source(self) -> str:
        """The name of the file, short enough for a reason of 100 letters."""
        name = PurePath(self.filename)
        return name.name if len(name.name) <= 60 else f"{name.stem[:50]}…{name.suffix[:8]}"


class Kind(ABC):
    """One kind of file. `columns` maps canonical names to how lenders write them.

    `permissions` are what a person needs to bring it, `template` the columns of the file to
    download, `examples` its two lines. `weight` is how many lines of a schedule one line costs.
    """

    code: str
    label: str
    columns: Mapping[str, Sequence[str]]
    required: Sequence[str]
    permissions: Sequence[str]
    template: Sequence[str]
    examples: Sequence[Sequence[str]]
    weight: int = 1

    @abstractmethod
    def run(self, table: Table, run: Run) -> Sequence[Verdict]:
        """Return a verdict for each line; write the good ones when the run writes.

        Never writes a part of a record: a loan with one wrong line is left out whole.
        """
