"""Manual journals from a file: one line a debit or a credit, each journal whole or left out."""

from collections.abc import Mapping, Sequence
from datetime import date

from lms import dates, tables
from lms.errors import Refused
from lms.imports.kind import Kind, Run
from lms.imports.rowwise import Cells, RowVerdict
from lms.imports.verdicts import NEW, UNCHANGED, WRONG
from lms.ledger import journals
from lms.ledger.beginning import must_be_in_books
from lms.ledger.journals import Wanted
from lms.ledger.models import Account, ManualJournal
from lms.ledger.splitting import Side, split
from lms.money import ZERO, kes
from lms.staff.models import Branch
from lms.tables import Table


class JournalLine(RowVerdict):
    """One line with what could be read of it. `name` is the journal it belongs to."""

    __slots__ = ("date", "narration", "wanted")

    def __init__(self, line: int) -> None:
        super().__init__(line)
        self.date: date | None = None
        self.narration = ""
        self.wanted: Wanted | None = None


class Journals(Kind):
    """Lines of one journal number, or of one date and narration, become one draft."""

    code = "journals"
    label = "Manual journals"
    columns = {
        "journal": ("journal no", "journal number", "reference", "ref", "batch", "voucher"),
        "date": ("journal date", "posting date", "transaction date", "value date"),
        "narration": ("description", "details", "particulars"),
        "account": ("account code", "gl account", "gl code", "code", "account no"),
        "debit": ("dr", "debit (kes)", "debit amount"),
        "credit": ("cr", "credit (kes)", "credit amount"),
        "branch": ("branch code", "branch name"),
        "memo": ("line memo", "note", "remarks"),
    }
    required = ("date", "narration", "account", "debit", "credit")
    permissions = ("ledger.add_manualjournal",)
    template = tuple(columns)
    examples = (
        ("1", "2026-02-28", "Rent of February", "5120", "45000.00", "", "", "Gikomba office"),
        ("1", "2026-02-28", "Rent of February", "1030", "", "45000.00", "", ""),
    )
    weight = 5

    def run(self, table: Table, run: Run) -> Sequence[JournalLine]:
        reader = Reader(by=run.by)
        lines: list[JournalLine] = []
        found: dict[str, list[JournalLine]] = {}
        for line in table.lines:
            verdict = JournalLine(line.number)
            lines.append(verdict)
            if line.error is not None:
                verdict.refuse("", line.error)
                continue
            try:
                reader.read(Cells(line.cells), verdict, found)
            except Refused as refusal:
                verdict.refuse(refusal.field or "", refusal.message)
        for group in found.values():
            _decide(group, run)
        run.progress(len(lines))
        return lines


class Reader:
    """Turns cells into lines, knowing the chart, the branches and whose file it is."""

    def __init__(self, *, by) -> None:
        self.by = by
        self.accounts = Account.objects.in_bulk()
        self.branches: Mapping[str, Branch] = {
            key.casefold(): branch
            for branch in Branch.objects.filter(is_active=True)
            for key in (branch.code, branch.name)
        }

    def read(self, cells: Cells, line: JournalLine, found: dict[str, list[JournalLine]]) -> None:
        """Read one line into its group. Raises Refused, naming the column at fault."""
        line.narration = cells.text("narration")[:160]
        line.name = cells.text("journal") or f"{cells.text('date')} {line.narration}".strip()
        group = found.setdefault(line.name, [])
        group.append(line)
        self._read_heading(cells, line, group[0])
        code = cells.must("account", tables.parse_text)
        if (account := self.accounts.get(code.partition(" ")[0])) is None:
            raise Refused(f"There is no account “{code}”. Write its code.", field="account")
        try:
            journals.must_take_entries(account)
        except Refused as refusal:
            raise Refused(refusal.message, field="account") from refusal
        debit = cells.read("debit", tables.parse_money, ZERO)
        credit = cells.read("credit", tables.parse_money, ZERO)
        if min(debit, credit) < 0 or bool(debit) == bool(credit):
            raise Refused(
                "Fill in either the debit or the credit, with an amount above zero.", field="debit"
            )
        memo = cells.text("memo")[:120]
        line.wanted = Wanted(account.pk, debit, credit, self._branch(cells), memo)

    @staticmethod
    def _read_heading(cells: Cells, line: JournalLine, first: JournalLine) -> None:
        """Read date and narration: on the first line of a journal; on others the same or none."""
        if line is first:
            line.date = cells.must("date", tables.parse_date)
            must_be_in_books(line.date, field="date")
            cells.must("narration", tables.parse_text)
            return
        if first.state == WRONG:
            return
        line.date = cells.read("date", tables.parse_date, first.date)
        if line.date != first.date:
            raise Refused(
                f"Line {first.line} of this journal is dated {dates.show(first.date)}: "
                "one journal has one date.",
                field="date",
            )
        if line.narration not in ("", first.narration):
            raise Refused(
                f"Line {first.line} of this journal says “{first.narration}”: repeat that, or "
                "write what is said of this line under memo.",
                field="narration",
            )

    def _branch(self, cells: Cells) -> Branch | None:
        name = cells.text("branch")
        if name and name.casefold() not in self.branches:
            raise Refused(f"There is no branch “{name}”. Write its code or name.", field="branch")
        branch = self.branches.get(name.casefold())
        if branch and not self.by.sees_all_branches and branch.pk != self.by.branch_id:
            raise Refused(
                f"{branch} is not your branch: somebody of head office has to bring this line.",
                field="branch",
            )
        return branch


def _decide(lines: list[JournalLine], run: Run) -> None:
    """Say what becomes of the lines of one journal, and draft it when the run writes."""
    if not any(line.state == WRONG for line in lines):
        try:
            _draft(lines, run)
        except Refused as refusal:
            lines[0].refuse(refusal.field or "", refusal.message)
    if any(line.state == WRONG for line in lines):
        for line in lines:
            line.leave_out("Another line of this journal is wrong.")


def _draft(lines: list[JournalLine], run: Run) -> None:
    """Draft a journal whose lines are all good. Raises Refused where it does not balance."""
    first, asked = lines[0], [line.wanted for line in lines]
    branch = run.by.branch or next((each.branch for each in asked if each.branch), None)
    if branch is None:
        raise Refused("Name a branch: you belong to none yourself.", field="branch")
    wanted = [(each.account, (each.branch or branch).pk, each.debit, each.credit) for each in asked]
    split((Side(*each) for each in wanted), between=journals.BETWEEN)
    known = _known(first, branch, wanted)
    if known is None and run.write:
        journals.write(
            date=first.date,
            narration=first.narration,
            branch=branch,
            lines=asked,
            by=run.by,
            reason=run.reason(first.line),
        )
    for line in lines:
        if known is not None:
            line.decide(UNCHANGED, f"Here already as {known.number}")
        else:
            side, amount = (
                ("Dr", line.wanted.debit) if line.wanted.debit else ("Cr", line.wanted.credit)
            )
            line.decide(NEW, f"{side} {line.wanted.account}, {kes(amount)}")


def _known(first: JournalLine, branch: Branch, wanted: list[tuple]) -> ManualJournal | None:
    """Return the journal that says the same already, unless it was rejected or withdrawn."""
    same = ManualJournal.objects.standing().filter(
        date=first.date, narration=first.narration, branch=branch
    )
    for journal in same.prefetch_related("lines"):
        if sorted(map(tuple, journal.sides())) == sorted(wanted):
            return journal
    return None
