"""The chart of accounts a micro-lender starts with, and the names operations post to.

Headers group accounts of one kind and take no postings. The accounts that operations keep in step
with rows of their own (loans, receipts, drawers, chamas) take no manual entries: a typed entry
would part them from those rows.
"""

from typing import NamedTuple

CASH_AND_BANK = "1000"  # the header of all money
CASH = "1010"
TILL_CASH = "1011"
MPESA_PAYBILL = "1020"
MPESA_UTILITY = "1021"
MPESA_WORKING = "1022"
BANK = "1030"
CHEQUES = "1040"
CASH_IN_TRANSIT = "1045"
SUSPENSE = "1050"
LOAN_PRINCIPAL = "1110"
INTEREST_RECEIVABLE = "1120"
FEES_RECEIVABLE = "1130"
PENALTIES_RECEIVABLE = "1140"
REFINANCE_CLEARING = "1150"
BETWEEN_BRANCHES = "1160"
ALLOWANCE = "1190"
FIXED_ASSETS = "1500"
ACCUMULATED_DEPRECIATION = "1590"
UNALLOCATED = "2010"
CUSTOMER_CREDIT = "2020"
PAYOUTS_ON_THEIR_WAY = "2025"
EXCISE_PAYABLE = "2030"
UNEARNED_INTEREST = "2040"
CAPITALISED_INTEREST = "2045"
SUSPENDED_INTEREST = "2050"
FUNDER_LOANS = "2100"
CHAMA_FUNDS = "2200"
TAX_PAYABLE = "2300"
ACCRUALS = "2400"
SHARE_CAPITAL = "3100"
RETAINED_EARNINGS = "3200"
OPENING_BALANCES = "3900"
INTEREST_INCOME = "4010"
FEE_INCOME = "4020"
PENALTY_INCOME = "4030"
RECOVERIES = "4040"
CASH_OVER = "4050"
OTHER_INCOME = "4090"
WAIVERS = "5010"
LOANS_WRITTEN_OFF = "5020"
PROVISION_EXPENSE = "5030"
MPESA_CHARGES = "5040"
BANK_CHARGES = "5050"
CASH_SHORT = "5060"
REFERRAL_REWARDS = "5070"
SALARIES = "5110"
RENT = "5120"
OFFICE = "5130"
FINANCE_COSTS = "5140"
DEPRECIATION = "5150"


class Row(NamedTuple):
    """An account to seed. `parent` is the code of its header."""

    code: str
    name: str
    kind: str
    parent: str | None = None
    is_header: bool = False
    is_contra: bool = False
    takes_manual_entries: bool = True


def _header(code: str, name: str, kind: str, parent: str | None = None) -> Row:
    return Row(code, name, kind, parent, is_header=True, takes_manual_entries=False)


def _kept(code: str, name: str, kind: str, parent: str, **fields) -> Row:
    """Return an account that only operations post to."""
    return Row(code, name, kind, parent, takes_manual_entries=False, **fields)


ACCOUNTS = (
    _header(CASH_AND_BANK, "Cash and bank", "asset"),
    Row(CASH, "Cash in branch", "asset", CASH_AND_BANK),
    _kept(TILL_CASH, "Cash in tills", "asset", CASH_AND_BANK),
    Row(MPESA_PAYBILL, "M-Pesa paybill", "asset", CASH_AND_BANK),
    Row(MPESA_UTILITY, "M-Pesa utility account", "asset", CASH_AND_BANK),
    Row(MPESA_WORKING, "M-Pesa working account", "asset", CASH_AND_BANK),
    Row(BANK, "Bank", "asset", CASH_AND_BANK),
    Row(CHEQUES, "Cheques in clearing", "asset", CASH_AND_BANK),
    _kept(CASH_IN_TRANSIT, "Cash in transit", "asset", CASH_AND_BANK),
    Row(SUSPENSE, "Reconciliation suspense", "asset", CASH_AND_BANK),
    _header("1100", "Loans to customers", "asset"),
    _kept(LOAN_PRINCIPAL, "Loan principal", "asset", "1100"),
    _kept(INTEREST_RECEIVABLE, "Interest receivable", "asset", "1100"),
    _kept(FEES_RECEIVABLE, "Fees receivable", "asset", "1100"),
    _kept(PENALTIES_RECEIVABLE, "Penalties receivable", "asset", "1100"),
    _kept(REFINANCE_CLEARING, "Loans paid off by new loans", "asset", "1100"),
    _kept(BETWEEN_BRANCHES, "Owed between branches", "asset", "1100"),
    _kept(ALLOWANCE, "Allowance for loan losses", "asset", "1100", is_contra=True),
    _header("1400", "Property and equipment", "asset"),
    Row(FIXED_ASSETS, "Fixed assets", "asset", "1400"),
    Row(ACCUMULATED_DEPRECIATION, "Accumulated depreciation", "asset", "1400", is_contra=True),
    _header("2000", "Owed to customers and others", "liability"),
    _kept(UNALLOCATED, "Unallocated receipts", "liability", "2000"),
    _kept(CUSTOMER_CREDIT, "Customer credit", "liability", "2000"),
    _kept(PAYOUTS_ON_THEIR_WAY, "Payouts on their way", "liability", "2000"),
    Row(EXCISE_PAYABLE, "Excise duty payable", "liability", "2000"),
    _kept(UNEARNED_INTEREST, "Unearned interest", "liability", "2000"),
    _kept(CAPITALISED_INTEREST, "Capitalised interest not yet earned", "liability", "2000"),
    _kept(SUSPENDED_INTEREST, "Interest in suspense", "liability", "2000"),
    Row(FUNDER_LOANS, "Loans from funders", "liability", "2000"),
    _kept(CHAMA_FUNDS, "Funds held for chamas", "liability", "2000"),
    Row(TAX_PAYABLE, "Taxes payable", "liability", "2000"),
    Row(ACCRUALS, "Accrued expenses", "liability", "2000"),
    _header("3000", "Capital and reserves", "equity"),
    Row(SHARE_CAPITAL, "Share capital", "equity", "3000"),
    Row(RETAINED_EARNINGS, "Retained earnings", "equity", "3000"),
    Row(OPENING_BALANCES, "Opening balances", "equity", "3000"),
    _header("4000", "Income", "income"),
    _kept(INTEREST_INCOME, "Interest income", "income", "4000"),
    Row(FEE_INCOME, "Fee income", "income", "4000"),
    Row(PENALTY_INCOME, "Penalty income", "income", "4000"),
    Row(RECOVERIES, "Recovery of loans written off", "income", "4000"),
    Row(CASH_OVER, "Cash over", "income", "4000"),
    Row(OTHER_INCOME, "Other income", "income", "4000"),
    _header("5000", "Expenses", "expense"),
    Row(WAIVERS, "Charges waived", "expense", "5000"),
    Row(LOANS_WRITTEN_OFF, "Loan principal given up", "expense", "5000"),
    Row(PROVISION_EXPENSE, "Provision for loan losses", "expense", "5000"),
    Row(MPESA_CHARGES, "M-Pesa charges", "expense", "5000"),
    Row(BANK_CHARGES, "Bank charges", "expense", "5000"),
    Row(CASH_SHORT, "Cash short", "expense", "5000"),
    Row(REFERRAL_REWARDS, "Referral rewards", "expense", "5000"),
    Row(SALARIES, "Salaries and wages", "expense", "5000"),
    Row(RENT, "Rent", "expense", "5000"),
    Row(OFFICE, "Office costs", "expense", "5000"),
    Row(FINANCE_COSTS, "Interest to funders", "expense", "5000"),
    Row(DEPRECIATION, "Depreciation", "expense", "5000"),
)

POSTED_TO = frozenset(row.code for row in ACCOUNTS if not row.is_header)
# What is kept in step with rows: nobody types an entry to it.
KEPT = frozenset(row.code for row in ACCOUNTS if not (row.is_header or row.takes_manual_entries))
# What operations post to by themselves: everything but what people type.
NEEDED = POSTED_TO - {
    FIXED_ASSETS,
    ACCUMULATED_DEPRECIATION,
    FUNDER_LOANS,
    TAX_PAYABLE,
    ACCRUALS,
    SHARE_CAPITAL,
    OTHER_INCOME,
    SALARIES,
    RENT,
    OFFICE,
    FINANCE_COSTS,
    DEPRECIATION,
}
# What loans of a product may have accounts of their own for. Balances that only mirror others
# (interest not yet earned or in suspense, the allowance) are common to all products.
PER_PRODUCT = (
    LOAN_PRINCIPAL,
    INTEREST_RECEIVABLE,
    FEES_RECEIVABLE,
    PENALTIES_RECEIVABLE,
    INTEREST_INCOME,
    FEE_INCOME,
    PENALTY_INCOME,
    RECOVERIES,
    WAIVERS,
    LOANS_WRITTEN_OFF,
)


def seed(account_model) -> None:
    """Create the accounts that are missing. Used by the migrations; runs any number of times."""
    account_model.objects.bulk_create(
        [account_model(**_fields(row)) for row in ACCOUNTS], ignore_conflicts=True
    )


def _fields(row: Row) -> dict:
    return {
        "code": row.code,
        "name": row.name,
        "kind": row.kind,
        "parent_id": row.parent,
        "is_header": row.is_header,
        "is_contra": row.is_contra,
        "takes_manual_entries": row.takes_manual_entries,
    }
