"""The table of postings (`lms/ledger/postings.py`), and what was posted beside it."""

from functools import cache
from itertools import product

from lms.ledger import chart, postings, profiles
from lms.ledger.models import Transfer

MONEY = (
    chart.CASH, chart.TILL_CASH, chart.MPESA_PAYBILL, chart.MPESA_UTILITY, chart.MPESA_WORKING,
    chart.BANK, chart.CHEQUES,
)  # fmt: skip
ANY = "any"
REVERSAL = "_reversal"
Rule = tuple[str, str, str]  # the event, the debit and the credit


@cache
def rules() -> frozenset[Rule]:
    """Return every pair of accounts that the table allows an event; ANY stands for each."""
    lines = [line for line in postings.__doc__.splitlines() if line.count("|") == 3]
    found = set()
    for line in lines[1:]:  # after the header
        event, _, debits, credits_ = (cell.strip() for cell in line.split("|"))
        for debit, credit in product(_accounts(debits), _accounts(credits_)):
            if debit != credit or debit == ANY:
                found.add((event, debit, credit))
    return frozenset(found)


def _accounts(cell: str) -> list[str]:
    return [code for word in cell.split() for code in (MONEY if word == "money" else (word,))]


def events() -> set[str]:
    return {event for event, _, _ in rules()}


def is_listed(event: str, debit: str, credit: str) -> bool:
    """Tell whether the table allows an event this transfer; a reversal has its sides swapped."""
    if event.endswith(REVERSAL):
        event, debit, credit = event.removesuffix(REVERSAL), credit, debit
    wanted = product((event,), (debit, ANY), (credit, ANY))
    return any(rule in rules() for rule in wanted)


def unlisted() -> list[Rule]:
    """Return what was posted and is not in the table."""
    commons = profiles.common()
    posted = Transfer.objects.order_by().values_list("entry__kind", "debit_id", "credit_id")
    found = {
        (kind, commons.get(debit, debit), commons.get(credit, credit))
        for kind, debit, credit in posted.distinct()
    }
    return sorted(rule for rule in found if not is_listed(*rule))
