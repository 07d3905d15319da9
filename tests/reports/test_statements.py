"""The statement of an account and the journal, worked out by hand."""

from datetime import date
from decimal import Decimal

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.django import TestCase

from lms.ledger import chart, periods
from lms.ledger.balances import balances
from lms.ledger.models import Account, JournalEntry, Period
from lms.ledger.operations import Line, post, reverse
from lms.reports.accounts import usual
from lms.reports.shape import Look, Window
from lms.reports.sheets import balance_sheet, income_statement
from lms.reports.spans import Scope, Span
from lms.reports.statements import account_statement, event_name, journal
from lms.reports.trial_balance import trial_balance
from tests import factories
from tests.reports.reading import line, texts

FIRST, LAST = date(2026, 1, 1), date(2026, 3, 31)


def statement(code: str, first=FIRST, last=LAST, **how):
    return account_statement(
        account=Account.objects.get(code=code), first=first, last=last, **{"scope": Scope(), **how}
    )


def post_fee(on: date, amount: int) -> JournalEntry:
    return post(
        kind="test",
        reference=f"fee:{on}",
        on=on,
        narration="A fee",
        lines=[Line(chart.BANK, chart.FEE_INCOME, Decimal(amount))],
        branch_id=factories.branch().pk,
        by=None,
    )


def entry(number: int) -> str:
    return f"JE{JournalEntry.objects.get(reference=f'test:{number}').pk:06d}"


def test_the_statement_runs_from_the_opening_to_the_closing_balance(books):
    report = statement(chart.BANK)

    assert texts(report) == [
        ["Opening balance", "501,000.00"],
        ["10 Jan 2026", entry(3), "Entry 3", "1110 Loan principal", "NRB", "200,000.00",
         "301,000.00"],
        ["10 Mar 2026", entry(9), "Entry 9", "1500 Fixed assets", "NRB", "80,000.00",
         "221,000.00"],
        ["10 Mar 2026", entry(10), "Entry 10", "1010 Cash in branch", "NRB", "5,000.00",
         "216,000.00"],
        ["Closing balance", "-", "285,000.00", "216,000.00"],
    ]  # fmt: skip


def test_an_account_of_credits_grows_by_credits(books):
    report = statement(chart.INTEREST_INCOME)

    assert texts(report)[0] == ["Opening balance", "1,000.00"]
    assert texts(report)[-1] == ["Closing balance", "-", "4,000.00", "5,000.00"]


def test_a_contra_account_grows_on_its_own_side(books):
    assert texts(statement(chart.ALLOWANCE))[-1] == ["Closing balance", "-", "9,000.00", "9,000.00"]


def test_a_balance_on_the_other_side_stands_in_brackets(loan):
    report = statement(chart.CASH)

    assert texts(report)[-1] == ["Closing balance", "-", "100,000.00", "(100,000.00)"]


def test_a_balance_of_nothing_has_no_sign(wanjiku):
    sold = post_fee(date(2026, 1, 10), 1000)
    reverse(sold, reason="Typed twice", on=date(2026, 1, 11), by=None)

    balance = [row.cells[-1].value for row in statement(chart.FEE_INCOME).rows]

    assert [str(amount) for amount in balance] == ["0.00", "1000.00", "0.00", "0.00"]


def test_a_closed_year_shows_what_the_income_statement_leads_from(kamau):
    post_fee(date(2025, 12, 5), 1000)
    periods.prepare(on=date(2026, 1, 10))
    december = Period.objects.get(first=date(2025, 12, 1))
    periods.close_year(december, by=kamau, on=date(2026, 1, 10))
    year = Span("2025", date(2025, 1, 1), date(2025, 12, 31), Scope())

    report = statement(chart.FEE_INCOME, first=year.first, last=year.last)

    assert line(income_statement([year]), "4020 Fee income") == ["1,000.00"]
    assert texts(report)[-2:] == [
        ["Before the year was closed", "-", "1,000.00", "1,000.00"],
        ["Closing balance", "1,000.00", "1,000.00", "-"],
    ]
    following = statement(chart.FEE_INCOME, first=date(2026, 1, 1), last=LAST)
    assert texts(following) == [["Opening balance", "-"], ["Closing balance", "-", "-", "-"]]


def test_one_branch_has_its_own_statement(kisumu):
    report = statement(chart.CASH, scope=kisumu)

    assert [row[-1] for row in texts(report)] == ["-", "4,000.00", "4,000.00"]


def test_a_later_page_goes_on_where_the_first_ended(books):
    whole = statement(chart.BANK)
    page = statement(chart.BANK, window=Window(1, 1))

    assert texts(page)[0] == ["Before", "301,000.00"]
    assert page.rows[1:] == (whole.rows[2], whole.rows[-1])
    assert page.lines == 3


def test_a_line_leads_to_its_entry_its_source_and_the_other_account(loan):
    report = statement(chart.LOAN_PRINCIPAL)
    disbursement = JournalEntry.objects.get(kind="disbursement")
    ways = [c.target and c.target[:2] for c in report.rows[1].cells]

    assert ways[1] == ("ledger.journalentry", disbursement.pk)
    assert ways[3] == ("payments.payout", disbursement.payout.pk)
    assert ways[4] == ("report:account", None)


def test_the_journal_lists_every_transfer_and_their_sum(books):
    report = journal(first=date(2026, 2, 1), last=date(2026, 2, 28), scope=Scope())

    assert texts(report)[0] == [
        "10 Feb 2026", entry(4), "Receipt", "Entry 4", "1010 Cash in branch",
        "2010 Unallocated receipts", "NRB", "30,000.00",
    ]  # fmt: skip
    assert texts(report)[-1] == ["Total", "68,700.00"]
    assert report.lines == 6


def test_the_journal_of_one_event_has_its_reversals(books):
    receipt = JournalEntry.objects.get(reference="test:4")
    reverse(receipt, reason="bounced", on=date(2026, 2, 20), by=None)

    report = journal(first=FIRST, last=LAST, scope=Scope(), event="receipt")

    assert [row[2] for row in texts(report)[:-1]] == ["Receipt", "Receipt, reversed"]


def test_an_event_is_named_in_words():
    assert event_name("write_off_reversal") == "Write off, reversed"


CODES = (
    chart.CASH,
    chart.BANK,
    chart.LOAN_PRINCIPAL,
    chart.ALLOWANCE,
    chart.UNALLOCATED,
    chart.SHARE_CAPITAL,
    chart.INTEREST_INCOME,
    chart.WAIVERS,
)
POSTINGS = st.lists(
    st.tuples(
        st.sampled_from(CODES),
        st.sampled_from(CODES),
        st.decimals("0.01", "999999.99", places=2),
        st.dates(date(2024, 6, 1), date(2026, 6, 30)),
        st.sampled_from(["NRB", "KSM"]),
    ).filter(lambda posting: posting[0] != posting[1]),
    max_size=8,
)


class Invariants(TestCase):
    """What holds for any books on any day, of all branches and of one."""

    @settings(max_examples=12, deadline=None)
    @given(POSTINGS, st.dates(date(2024, 6, 1), date(2026, 7, 31)), st.sampled_from(["", "KSM"]))
    def test_whatever_is_posted_every_report_balances(self, postings, on, branch):
        for number, (debit, credit, amount, day, code) in enumerate(postings):
            post(
                kind="test",
                reference=f"any:{number}",
                on=day,
                narration="Any",
                lines=[Line(debit, credit, amount)],
                branch_id=factories.branch(code, code).pk,
                by=None,
            )
        scope = Scope((factories.branch(branch, branch).pk,), branch) if branch else Scope()
        first = date(on.year, 1, 1)

        tb = trial_balance(last=on, scope=scope)
        moved = trial_balance(first=first, last=on, scope=scope)
        sheet = balance_sheet([Span("", first, on, scope)])

        assert tb.rows[-1].cells[1].value == tb.rows[-1].cells[2].value
        assert moved.rows[-1].cells[2].value == moved.rows[-1].cells[3].value
        assert moved.rows[-1].cells[4].value == moved.rows[-1].cells[5].value
        sums = {row.cells[0].value: row.cells[1].value for row in sheet.rows}
        assert sums["Total assets"] == sums["Total liabilities and equity"]
        assert tb.notes == sheet.notes == ()
        held = balances(on, branch_ids=scope.branch_ids)
        for code in CODES:
            report = statement(code, first, on, scope=scope)
            account = Account.objects.get(code=code)
            assert report.rows[-1].look == Look.TOTAL
            assert report.rows[-1].cells[-1].value == usual(account, held.get(code))
            assert report.rows[-2].cells[-1].value == report.rows[-1].cells[-1].value
            assert isinstance(report.rows[-1].cells[-1].value, Decimal)
