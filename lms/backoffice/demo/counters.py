"""The counters of the demo: drawers opened and counted each day, cash to the bank, one shortage.

Nairobi's first cashier closes every evening without a difference, the second one is KES 200 short
since yesterday, and Kisumu's drawer was not closed yesterday.
"""

from datetime import date, timedelta
from decimal import Decimal
from functools import partial

from lms.backoffice.demo.story import Story
from lms.money import money
from lms.staff.models import Staff
from lms.tills.denominations import FACES
from lms.tills.models import DrawerSession, Place
from lms.tills.operations import banking, drawers, funds, handovers

DAYS = 4
MORNING, EVENING = 6.5, 21.5  # before the first customer and after the last
FLOAT = {500: 12, 200: 10, 100: 15, 50: 8, 20: 4, 10: 2}  # KES 10,000


def plan(story: Story) -> None:
    """Plan what happens at the counters in the last days."""
    nairobi, kisumu = (story.office.teams[code] for code in ("DEMONRB", "DEMOKSM"))
    second, accountant = story.office.second_cashier, story.office.accountant
    yesterday = story.today - timedelta(days=1)
    for ago in range(DAYS, -1, -1):
        day = story.today - timedelta(days=ago)
        story.plan(day, MORNING, partial(_open, nairobi.cashier))
        if ago:
            story.plan(day, EVENING, partial(_close, nairobi.cashier))
    story.plan(yesterday, MORNING, partial(_open, second))
    story.plan(yesterday, EVENING, partial(_close, second, short=200))
    story.plan(yesterday, MORNING, partial(_open, kisumu.cashier))
    story.plan(
        story.today - timedelta(days=3),
        15,
        partial(_bank, nairobi.cashier, confirmed_by=accountant),
    )
    story.plan(yesterday, 15, partial(_bank, nairobi.cashier))
    story.plan(story.today, 6.8, partial(_send, nairobi.cashier, second))
    story.plan(story.today - timedelta(days=2), 10, partial(_move_funds, story, accountant))


def _drawer_of(cashier: Staff) -> DrawerSession:
    return DrawerSession.objects.unclosed().get(cashier=cashier)


def _open(cashier: Staff, on: date) -> None:
    drawers.open_drawer(cashier, pieces=FLOAT, branch=cashier.branch, by=cashier, on=on)


def _close(cashier: Staff, on: date, *, short: int = 0) -> None:
    drawer = _drawer_of(cashier)
    drawers.count(
        drawer,
        pieces=_pieces(drawer.holds() - short),
        note="I may have given change for a 200 twice." if short else "",
        by=cashier,
        on=on,
    )


def _pieces(amount: Decimal) -> dict[int, int]:
    """Return whole shillings in the fewest notes and coins."""
    pieces, left = {}, int(amount)
    for face in FACES:
        pieces[face], left = divmod(left, face)
    return pieces


def _bank(cashier: Staff, on: date, *, confirmed_by: Staff | None = None) -> None:
    slip = banking.bank(
        session=_drawer_of(cashier),
        branch=cashier.branch,
        amount=money(6_000),
        slip_number=f"DEP{on:%y%m%d}01",
        by=cashier,
        on=on,
    )
    if confirmed_by:
        banking.confirm(slip, arrived_on=on, by=confirmed_by, on=on)


def _send(cashier: Staff, recipient: Staff, on: date) -> None:
    drawer = _drawer_of(cashier)
    key = f"demo:{drawer.pk}"
    handovers.send(drawer, recipient=recipient, amount=money(2_000), key=key, by=cashier, on=on)


def _move_funds(story: Story, accountant: Staff, on: date) -> None:
    """Bring a day's collections to the bank, and money for disbursements to M-Pesa."""
    branch = story.office.teams["DEMONRB"].branch
    for source, destination, amount, charge, reference in (
        (Place.PAYBILL, Place.BANK, 150_000, 108, story.till.receipt(on)),
        (Place.BANK, Place.WORKING, 80_000, 150, story.till.slip(on)),
    ):
        funds.transfer(
            source=source,
            destination=destination,
            amount=money(amount),
            charge=money(charge),
            reference=reference,
            branch=branch,
            by=accountant,
            on=on,
            today=on,
        )
