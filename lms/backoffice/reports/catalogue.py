"""Which reports there are: each a form of answers, one question, and who may ask it.

A new report is a function in `lms.reports` and one line here.
"""

from collections.abc import Callable
from typing import NamedTuple

from lms.backoffice.reports import forms
from lms.reports import cash, customers, sheets, statements, trial_balance
from lms.reports.shape import Report, Window

BOOKS = "ledger.view_books"


class Page(NamedTuple):
    """One report. `is_long` where its lines are shown a page at a time."""

    title: str
    about: str
    icon: str
    form: type[forms.ReportForm]
    ask: Callable[[forms.ReportForm, Window], Report]
    permissions: tuple[str, ...] = (BOOKS,)
    is_long: bool = False


def _answers(form, *names: str) -> dict:
    return {"scope": form.scope, **{name: form.cleaned_data[name] for name in names}}


DAYS = ("first", "last")
PAGES: dict[str, Page] = {
    "trial-balance": Page(
        "Trial balance",
        "Every account with its balance; debits equal credits.",
        "balance",
        forms.TrialBalanceForm,
        lambda form, _: trial_balance.trial_balance(**_answers(form, *DAYS)),
    ),
    "balance-sheet": Page(
        "Balance sheet",
        "What is owned and owed, with the profit of the year.",
        "account_balance_wallet",
        forms.BalanceSheetForm,
        lambda form, _: sheets.balance_sheet(form.spans()),
    ),
    "income-statement": Page(
        "Income statement",
        "Income, expenses and profit, compared or by branch.",
        "trending_up",
        forms.ColumnsForm,
        lambda form, _: sheets.income_statement(form.spans()),
    ),
    "cash-flow": Page(
        "Cash flow",
        "What money came in for and went out for.",
        "currency_exchange",
        forms.ColumnsForm,
        lambda form, _: cash.cash_flow(form.spans()),
    ),
    "cash-book": Page(
        "Cash book",
        "Each movement of cash, M-Pesa and bank.",
        "local_atm",
        forms.CashBookForm,
        lambda form, window: cash.cash_book(**_answers(form, *DAYS, "counter"), window=window),
        is_long=True,
    ),
    "account": Page(
        "Account statement",
        "One account line by line, with its running balance.",
        "receipt_long",
        forms.AccountForm,
        lambda form, window: statements.account_statement(
            **_answers(form, *DAYS, "account"), window=window
        ),
        is_long=True,
    ),
    "journal": Page(
        "Journal listing",
        "Everything posted in some days.",
        "list_alt",
        forms.JournalForm,
        lambda form, window: statements.journal(**_answers(form, *DAYS, "event"), window=window),
        is_long=True,
    ),
    "customer": Page(
        "Customer statement",
        "What a customer was lent, charged and forgiven, and what they paid.",
        "person_search",
        forms.CustomerForm,
        lambda form, _: customers.customer_statement(**_answers(form, *DAYS, "customer")),
        permissions=("customers.view_customer", "loans.view_loan", "payments.view_payment"),
    ),
}


def may_ask(staff, name: str) -> bool:
    """Tell whether this person may see a report."""
    return name in PAGES and staff.has_perms(PAGES[name].permissions)
