"""Repayment schedules of running loans: from a file onto the loans, whole loans only."""

from collections.abc import Sequence

from lms.imports.kind import Kind, Run
from lms.imports.schedule import lines, standing, writing
from lms.imports.schedule.lines import Item
from lms.imports.schedule.plan import LoanPlan
from lms.tables import Table


class Schedules(Kind):
    """One line an instalment. A file imported twice changes nothing."""

    code = "schedule"
    label = "Repayment schedules"
    columns = lines.COLUMNS
    required = lines.REQUIRED
    permissions = ("loans.add_repayment", "loans.change_repayment")
    template = tuple(lines.COLUMNS)
    examples = (
        (
            "LN000123", "1", "2026-02-15", "9456.00", "7456.00", "2000.00", "0.00", "0.00",
            "9456.00", "completed",
        ),
        (
            "LN000123", "2", "2026-03-15", "9456.00", "7605.00", "1851.00", "0.00", "0.00",
            "", "pending",
        ),
    )  # fmt: skip

    def run(self, table: Table, run: Run) -> Sequence[Item]:
        items = lines.read(table.lines, table.columns)
        loans = standing.group(items, by=run.by)
        done = sum(1 for item in items if not item.loan or item.state)
        for pks in standing.chunks(sorted(loans)):
            facts = standing.facts(pks, lock=run.write)
            known = standing.instalments(pks)
            plans = [
                LoanPlan(loan, loans[loan.pk], known[loan.pk], on=run.on).decide() for loan in facts
            ]
            if run.write:
                writing.write([plan for plan in plans if plan.changes], run)
            done += sum(len(plan.items) for plan in plans)
            for plan in plans:
                plan.release()
            run.progress(min(done, len(items)))
        return items
