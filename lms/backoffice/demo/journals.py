"""What the accountant of the story writes: capital, rent, salaries, closed months."""

from datetime import date, timedelta
from decimal import Decimal
from functools import partial

from lms import dates
from lms.backoffice.demo import plans
from lms.backoffice.demo.story import Story
from lms.ledger import chart, journals, periods, recurring
from lms.ledger.journals import Wanted
from lms.ledger.models import JournalTemplate, JournalTemplateLine

MONTHS = 3
# What the owners paid in before the first loan: most of it went out over M-Pesa since.
FLOAT_OF_TEN = 2  # tenths of the capital that go to the paybill
CAPITAL = {"DEMONRB": Decimal(6_000_000), "DEMOKSM": Decimal(4_000_000)}
# What they brought in cash, for the vaults.
CASH = {"DEMONRB": Decimal(600_000), "DEMOKSM": Decimal(400_000)}
RENTS = {"DEMONRB": Decimal(45_000), "DEMOKSM": Decimal(28_000)}
SALARIES = {"DEMONRB": Decimal(285_000), "DEMOKSM": Decimal(196_000)}


def plan(story: Story) -> None:
    """Plan templates before the last months, their journals in each, and one that still waits."""
    before = story.today - timedelta(days=plans.OLDEST + 20)
    story.plan(before, 9, partial(_pay_capital_in, story))
    first = dates.add_months(story.today.replace(day=1), -MONTHS)
    story.plan(first, 8.5, partial(_make_templates, story))
    for month in range(MONTHS):
        story.plan(dates.add_months(first, month), 9.5, partial(_post_due, story))
    story.plan(story.today - timedelta(days=12), 17, partial(_close_months, story))
    story.plan(story.today - timedelta(days=2), 16, partial(_ask_for_furniture, story))
    story.plan(story.today - timedelta(days=1), 10, partial(_buy_stationery, story))


def _pay_capital_in(story: Story, on: date) -> None:
    office = story.office
    branches = {code: team.branch for code, team in office.teams.items()}
    lines = []
    for code, amount in CAPITAL.items():
        to_paybill = amount * FLOAT_OF_TEN / 10  # M-Pesa pays out no more than it holds
        lines.append(Wanted(chart.BANK, debit=amount - to_paybill, branch=branches[code]))
        lines.append(Wanted(chart.MPESA_PAYBILL, debit=to_paybill, branch=branches[code]))
        lines.append(Wanted(chart.CASH, debit=CASH[code], branch=branches[code]))
        paid_in = amount + CASH[code]
        lines.append(Wanted(chart.SHARE_CAPITAL, credit=paid_in, branch=branches[code]))
    journal = journals.write(
        date=on,
        narration="Share capital paid in by the owners",
        branch=branches["DEMONRB"],
        lines=lines,
        by=office.accountant,
    )
    journals.submit(journal, by=office.accountant, on=on)
    journals.approve(journal, by=office.admin, on=on)


def _make_templates(story: Story, on: date) -> None:
    """Write the rents, due on the first, and the salaries, accrued at the end of a month."""
    last = journals.next_period(on) - timedelta(days=1)
    branches = {code: team.branch for code, team in story.office.teams.items()}
    head = branches["DEMONRB"]
    rents = [Wanted(chart.RENT, debit=rent, branch=branches[code]) for code, rent in RENTS.items()]
    paid = Wanted(chart.BANK, credit=sum(RENTS.values()), branch=head)
    _template(story, "Rent", "Rent of both offices", head, on, [*rents, paid])
    accrued = []
    for code, salaries in SALARIES.items():
        accrued.append(Wanted(chart.SALARIES, debit=salaries, branch=branches[code]))
        accrued.append(Wanted(chart.ACCRUALS, credit=salaries, branch=branches[code]))
    _template(
        story, "Salaries, accrual", "Salaries earned, not yet paid", head, last, accrued,
        reverses_next_period=True,
    )  # fmt: skip


def _template(story: Story, name, narration, branch, first_on, lines, **fields) -> None:
    template = JournalTemplate(
        name=name, narration=narration, branch=branch, first_on=first_on, **fields
    )
    template._history_user = story.office.accountant
    template._change_reason = "Created in the office"
    template.save()
    for line in lines:
        JournalTemplateLine.objects.create(
            template=template,
            account_id=line.account,
            debit=line.debit,
            credit=line.credit,
            branch=line.branch,
        )


def _post_due(story: Story, on: date) -> None:
    """Draft what is due this month; the accountant submits it, head office posts it."""
    until = recurring.end_of_month(on)
    office = story.office
    for journal in recurring.draft_due(JournalTemplate.objects.all(), until=until):
        journals.submit(journal, by=office.accountant, on=on)
        journals.approve(journal, by=office.admin, on=on)


def _close_months(story: Story, on: date) -> None:
    """Close the books up to the month before last, and the years that ended in them."""
    periods.prepare(on=on)
    keep_open = dates.add_months(on.replace(day=1), -1)
    while (period := periods.next_to_close()) and period.last < keep_open:
        close = periods.close_year if period.ends_year else periods.close_period
        close(period, by=story.office.admin, on=on)


def _ask_for_furniture(story: Story, on: date) -> None:
    """Submit a purchase that nobody has decided on yet."""
    team = story.office.teams["DEMONRB"]
    journal = journals.write(
        date=on,
        narration="Two desks and a filing cabinet, Victoria Furnitures invoice 2291",
        branch=team.branch,
        lines=[
            Wanted(chart.FIXED_ASSETS, debit=Decimal(64_500)),
            Wanted(chart.BANK, credit=Decimal(64_500), memo="Cheque 000412"),
        ],
        by=story.office.accountant,
    )
    journals.submit(journal, by=story.office.accountant, on=on)


def _buy_stationery(story: Story, on: date) -> None:
    """Leave a draft that does not balance yet."""
    journals.write(
        date=on,
        narration="Stationery and airtime",
        branch=story.office.teams["DEMOKSM"].branch,
        lines=[
            Wanted(chart.OFFICE, debit=Decimal(3_450), memo="Receipt books, toner"),
            Wanted(chart.OFFICE, debit=Decimal(2_000), memo="Airtime"),
            Wanted(chart.BANK, credit=Decimal(5_000)),
        ],
        by=story.office.accountant,
    )
