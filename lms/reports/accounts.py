"""The chart as statements show it: headers over their accounts, sums under them."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal

from lms.ledger.balances import Balance
from lms.ledger.models import Account
from lms.money import ZERO
from lms.reports.shape import Cell, Look, Row, Target, total

Amounts = tuple[Decimal, ...]
Way = Callable[[Account, int], Target | None]


def usual(account: Account, balance: Balance | None) -> Decimal:
    """Return a balance on the account's normal side (KES): negative when it lies on the other."""
    net = balance.net if balance else ZERO
    return net if account.normal_side == "debit" else -net


def by_kind(account: Account, balance: Balance | None) -> Decimal:
    """Return a balance as its part of a statement counts it (KES): a contra account deducts."""
    net = balance.net if balance else ZERO
    return net if account.kind in Account.DEBIT_KINDS else -net


class Sheet:
    """The accounts of the chart with an amount in each column of a statement."""

    def __init__(self, columns: Sequence[Mapping[str, Balance]], way: Way) -> None:
        """`columns` are balances by code; `way` says where the figure of a column leads."""
        self.columns, self.way = columns, way
        self.children: dict[str | None, list[Account]] = defaultdict(list)
        self.accounts = list(Account.objects.order_by("code"))
        for account in self.accounts:
            self.children[account.parent_id].append(account)

    def amounts(self, account: Account) -> Amounts:
        """Return what stands on one account, without those under it."""
        return tuple(by_kind(account, column.get(account.code)) for column in self.columns)

    def sum(self, *kinds: str) -> Amounts:
        """Return the sums over whole kinds of accounts, each counted as its kind counts."""
        nothing = (ZERO,) * len(self.columns)
        found = [self.amounts(account) for account in self.accounts if account.kind in kinds]
        return tuple(total(amounts) for amounts in zip(nothing, *found, strict=True))

    def section(self, kind: str) -> list[Row]:
        """Return the rows of one kind of accounts that have an amount in any column."""
        roots = [account for account in self.children[None] if account.kind == kind]
        if len(roots) == 1 and roots[0].is_header:
            roots = self.children[roots[0].code]
        return [row for root in roots for row in self._rows(root, level=1)]

    def _rows(self, account: Account, *, level: int) -> list[Row]:
        under = [
            row
            for child in self.children[account.code]
            for row in self._rows(child, level=level + 1)
        ]
        if not account.is_header:
            own = self.amounts(account)
            return [self._line(account, own, level), *under] if any(own) else under
        if not under:
            return []
        blank = tuple(Cell(None) for _ in self.columns)
        sums = self._sum_under(account)
        return [
            Row((Cell(account.name), *blank), Look.HEAD, level),
            *under,
            Row((Cell(f"Total {lower(account.name)}"), *map(Cell, sums)), Look.SUM, level),
        ]

    def _line(self, account: Account, amounts: Amounts, level: int) -> Row:
        cells = (
            Cell(amount, self.way(account, place) if amount else None)
            for place, amount in enumerate(amounts)
        )
        name = f"{account} (deducted)" if account.is_contra else str(account)
        return Row((Cell(name), *cells), Look.LINE, level)

    def _sum_under(self, account: Account) -> Amounts:
        parts = [self.amounts(account)]
        parts += [self._sum_under(child) for child in self.children[account.code]]
        return tuple(total(amounts) for amounts in zip(*parts, strict=True))


def lower(name: str) -> str:
    """Return a heading as it reads in the middle of a line; M-Pesa keeps its capitals."""
    head, _, _ = name.partition(" ")
    return name if any(letter.isupper() for letter in head[1:]) else name[:1].lower() + name[1:]
