"""The figures of the columns of a comparative report: one query for the branches of one range."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence

from lms.ledger.balances import Balance, by_branch, movements_by_branch
from lms.reports.spans import Scope, Span

Balances = dict[str, Balance]


def moved(spans: Sequence[Span]) -> list[Balances]:
    """Return what moved on each account in the days of each span, without the ends of years."""
    return _each(
        spans,
        lambda span: (span.first, span.last),
        lambda days, wanted: movements_by_branch(*days, branch_ids=wanted),
    )


def standing(spans: Sequence[Span], day: Callable[[Span], object]) -> list[Balances]:
    """Return the balances at the end of one day of each span, chosen by `day`."""
    return _each(spans, day, lambda on, wanted: by_branch(on, branch_ids=wanted))


def _each(spans: Sequence[Span], days: Callable, ask: Callable) -> list[Balances]:
    """Ask once for each range of days, for all branches that its spans want; share it out."""
    found = {
        key: ask(key, _wanted([span for span in spans if days(span) == key]))
        for key in dict.fromkeys(map(days, spans))
    }
    return [_within(found[days(span)], span.scope) for span in spans]


def _wanted(spans: Sequence[Span]) -> set[int] | None:
    """Return every branch that some span reads, None where one reads them all."""
    if any(span.scope.branch_ids is None for span in spans):
        return None
    return {key for span in spans for key in span.scope.branch_ids}


def _within(found: Mapping[tuple[str, int], Balance], scope: Scope) -> Balances:
    sums: dict[str, Balance] = defaultdict(Balance)
    for (code, branch), balance in found.items():
        if scope.branch_ids is None or branch in scope.branch_ids:
            sums[code] = sums[code].plus(balance)
    return dict(sums)
