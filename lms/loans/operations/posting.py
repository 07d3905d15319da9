"""The one door of a loan to the books: its number, its branch and the accounts it is posted to."""

from collections.abc import Iterable
from datetime import date

from lms.ledger import operations as ledger
from lms.ledger.models import JournalEntry
from lms.ledger.operations import Line
from lms.loans.models import Loan


def post(
    loan: Loan,
    *,
    kind: str,
    reference: str,
    on: date,
    narration: str,
    lines: Iterable[Line],
    by,
    branch_id: int | None = None,
) -> JournalEntry:
    """Post an entry about a loan, in its own branch unless another is named.

    Raises Refused as `ledger.operations.post` does.
    """
    return ledger.post(
        kind=kind,
        reference=reference,
        on=on,
        narration=narration,
        lines=lines,
        branch_id=branch_id or loan.branch_id,
        by=by,
        subject=loan.number,
        accounts=loan.accounts,
    )
