"""The books, and what people write for them."""

from lms.ledger.models.books import (
    Account,
    JournalEntry,
    Period,
    PeriodBalance,
    PostingProfile,
    Transfer,
)
from lms.ledger.models.journals import (
    JournalPaper,
    JournalTemplate,
    JournalTemplateLine,
    ManualJournal,
    ManualLine,
)

__all__ = [
    "Account",
    "JournalEntry",
    "JournalPaper",
    "JournalTemplate",
    "JournalTemplateLine",
    "ManualJournal",
    "ManualLine",
    "Period",
    "PeriodBalance",
    "PostingProfile",
    "Transfer",
]
