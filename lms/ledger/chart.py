"""The chart of accounts a micro-lender starts with, and the names operations post to."""

CASH = "1010"
MPESA_PAYBILL = "1020"
BANK = "1030"
CHEQUES = "1040"
LOAN_PRINCIPAL = "1110"
INTEREST_RECEIVABLE = "1120"
FEES_RECEIVABLE = "1130"
PENALTIES_RECEIVABLE = "1140"
REFINANCE_CLEARING = "1150"
BETWEEN_BRANCHES = "1160"
ALLOWANCE = "1190"
UNALLOCATED = "2010"
CUSTOMER_CREDIT = "2020"
EXCISE_PAYABLE = "2030"
UNEARNED_INTEREST = "2040"
CAPITALISED_INTEREST = "2045"
SUSPENDED_INTEREST = "2050"
OPENING_BALANCES = "3900"
INTEREST_INCOME = "4010"
FEE_INCOME = "4020"
PENALTY_INCOME = "4030"
RECOVERIES = "4040"
WAIVERS = "5010"
LOANS_WRITTEN_OFF = "5020"
PROVISION_EXPENSE = "5030"

ACCOUNTS = (
    (CASH, "Cash in branch", "asset"),
    (MPESA_PAYBILL, "M-Pesa paybill", "asset"),
    (BANK, "Bank", "asset"),
    (CHEQUES, "Cheques in clearing", "asset"),
    (LOAN_PRINCIPAL, "Loan principal", "asset"),
    (INTEREST_RECEIVABLE, "Interest receivable", "asset"),
    (FEES_RECEIVABLE, "Fees receivable", "asset"),
    (PENALTIES_RECEIVABLE, "Penalties receivable", "asset"),
    (REFINANCE_CLEARING, "Loans paid off by new loans", "asset"),
    (BETWEEN_BRANCHES, "Loans moved between branches", "asset"),
    (ALLOWANCE, "Allowance for loan losses", "asset"),
    (UNALLOCATED, "Unallocated receipts", "liability"),
    (CUSTOMER_CREDIT, "Customer credit", "liability"),
    (EXCISE_PAYABLE, "Excise duty payable", "liability"),
    (UNEARNED_INTEREST, "Unearned interest", "liability"),
    (CAPITALISED_INTEREST, "Capitalised interest not yet earned", "liability"),
    (SUSPENDED_INTEREST, "Interest in suspense", "liability"),
    (OPENING_BALANCES, "Opening balances", "equity"),
    (INTEREST_INCOME, "Interest income", "income"),
    (FEE_INCOME, "Fee income", "income"),
    (PENALTY_INCOME, "Penalty income", "income"),
    (RECOVERIES, "Recovery of loans written off", "income"),
    (WAIVERS, "Charges waived", "expense"),
    (LOANS_WRITTEN_OFF, "Loan principal given up", "expense"),
    (PROVISION_EXPENSE, "Provision for loan losses", "expense"),
)


def seed(account_model) -> None:
    """Create the accounts that are missing. Used by the migration; runs any number of times."""
    account_model.objects.bulk_create(
        [account_model(code=code, name=name, kind=kind) for code, name, kind in ACCOUNTS],
        ignore_conflicts=True,
    )
