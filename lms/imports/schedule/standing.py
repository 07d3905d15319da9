"""What the database holds about the loans of a file, read in a few queries a chunk."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from decimal import Decimal

from django.db.models import Q

from lms.imports.schedule.lines import Item
from lms.imports.schedule.plan import LoanFacts, Standing
from lms.loans.models import Allocation, Loan, Penalty, Repayment
from lms.money import ZERO, total
from lms.payments.models import Payment

CHUNK = 500
LOAN_FIELDS = tuple(LoanFacts.__annotations__)
INSTALMENT_FIELDS = tuple(Standing.__annotations__)[:-2]
TAKEN_OVER = "Before takeover"  # the rule of a penalty that the old system charged


def chunks(values: Iterable, size: int = CHUNK) -> Iterator[list]:
    """Yield the values in lists of at most `size`."""
    values = list(values)
    for start in range(0, len(values), size):
        yield values[start : start + size]


def group(items: Iterable[Item], *, by) -> dict[int, list[Item]]:
    """Return the lines by the loan they mean, and call wrong those that mean none.

    Only loans that `by` may see are known. A line that is wrong already counts with its loan.
    """
    by_text: dict[str, list[Item]] = defaultdict(list)
    for item in items:
        if item.loan:
            by_text[item.loan].append(item)
    found: dict[int, list[Item]] = {}
    for texts in chunks(by_text):
        known = _known(texts, by=by)
        for text in texts:
            pks = known[text]
            for item in by_text[text] if len(pks) != 1 else ():
                item.refuse("loan", _why_unknown(text, pks))
            if len(pks) == 1:
                found.setdefault(pks.pop(), []).extend(by_text[text])
    for lines in found.values():
        lines.sort(key=lambda item: item.line)
    return found


def _known(texts: Collection[str], *, by) -> dict[str, set[int]]:
    """Return the keys of the loans that each text means: its number here, or in the old system."""
    numbers = {text: Loan.key_of(text) for text in texts}
    rows = (
        Loan.objects.seen_by(by)
        .filter(
            Q(pk__in=[pk for pk in numbers.values() if pk])
            | Q(legacy_number__in=[text.upper() for text in texts])
        )
        .order_by()
        .values_list("pk", "legacy_number")
    )
    pks, legacy = set(), {}
    for pk, old_number in rows:
        pks.add(pk)
        legacy[old_number] = pk
    return {
        text: {pk for pk in (numbers[text], legacy.get(text.upper())) if pk in pks}
        for text in texts
    }


def _why_unknown(text: str, pks: Collection[int]) -> str:
    if pks:
        return (
            f"“{text}” means two loans, {' and '.join(f'LN{pk:06d}' for pk in sorted(pks))}: "
            "write the number of this office, like LN000123."
        )
    return (
        f"There is no loan “{text}” among those you may see. Write its number, like LN000123, "
        "or its number in the old system."
    )


def facts(pks: Collection[int], *, lock: bool) -> list[LoanFacts]:
    """Return what is known of these loans, in the order of their keys; lock them when told.

    A lock lasts until the transaction of the caller ends. Locking in one order keeps two imports
    from waiting for each other.
    """
    loans = Loan.objects.filter(pk__in=pks).order_by("pk")
    if lock:
        loans = loans.select_for_update(of=("self",))
    return [LoanFacts(*row) for row in loans.values_list(*LOAN_FIELDS)]


def instalments(pks: Collection[int]) -> dict[int, dict[int, Standing]]:
    """Return the instalments of these loans, by loan and number."""
    found: dict[int, dict[int, Standing]] = {pk: {} for pk in pks}
    rows = list(
        Repayment.objects.filter(loan_id__in=pks).order_by().values_list(*INSTALMENT_FIELDS)
    )
    opening = _opening(pks) if rows else {}
    before = _before(pks) if rows else {}
    for row in rows:
        old = Standing(*row, opening.get(row[0], ZERO), before.get(row[0], ZERO))
        found[old.loan_id][old.number] = old
    return found


def _opening(pks: Collection[int]) -> dict[int, Decimal]:
    """Return what payments before the takeover stand for on each instalment."""
    return dict(
        Allocation.objects.filter(
            repayment__loan_id__in=pks, payment__method=Payment.Method.OPENING
        )
        .order_by()
        .values("repayment_id")
        .annotate(paid=total("amount"))
        .values_list("repayment_id", "paid")
    )


def _before(pks: Collection[int]) -> dict[int, Decimal]:
    """Return the penalties that each instalment was taken over with."""
    return dict(
        Penalty.objects.filter(repayment__loan_id__in=pks, rule=TAKEN_OVER)
        .order_by()
        .values("repayment_id")
        .annotate(charged=total("amount"))
        .values_list("repayment_id", "charged")
    )
