"""What a transfer is about: the loan, receipt, payout or customer behind it."""

import re
from collections.abc import Iterable, Mapping

from lms.ledger.models import JournalEntry, Transfer
from lms.payments.models import Payment, Payout
from lms.reports.shape import Cell, Target

# The pages of the records that subjects name.
PAGES = {
    "LN": "loans.loan",
    "RC": "payments.payment",
    "CU": "customers.customer",
    "MJ": "ledger.manualjournal",
}
SUBJECT = re.compile(r"(LN|RC|CU|MJ)0*([1-9]\d{0,11})")


def subject_cell(subject: str) -> Cell:
    """Return the subject of a transfer, leading to the record that it names."""
    found = SUBJECT.fullmatch(subject)
    return Cell(subject, Target(PAGES[found[1]], int(found[2])) if found else None)


def entry_cell(entry_id: int) -> Cell:
    return Cell(f"JE{entry_id:06d}", Target("ledger.journalentry", entry_id))


def papers_of(entry_ids: Iterable[int]) -> dict[int, Cell]:
    """Return the payment or payout that each of these entries booked, where there is one."""
    keys = set(entry_ids)
    found = {
        entry: Cell(f"RC{pk:06d}", Target("payments.payment", pk))
        for pk, entry in Payment.objects.filter(entry__in=keys).values_list("pk", "entry")
    }
    for pk, entry in Payout.objects.filter(entry__in=keys).values_list("pk", "entry"):
        found[entry] = Cell(f"PO{pk:06d}", Target("payments.payout", pk))
    return found


def source_of(transfer: Transfer, papers: Mapping[int, Cell]) -> Cell:
    """Return where a transfer came from: the payment or payout it booked, or else its subject."""
    return papers.get(transfer.entry_id) or subject_cell(transfer.subject)


def sources_of(entry: JournalEntry) -> list[Cell]:
    """Return the records behind one entry, each once: its paper, then whose money it moved."""
    cells = [*papers_of([entry.pk]).values()]
    subjects = entry.transfers.order_by("subject").values_list("subject", flat=True).distinct()
    cells += [subject_cell(subject) for subject in subjects[:20] if subject]
    return list(dict.fromkeys(cells))
