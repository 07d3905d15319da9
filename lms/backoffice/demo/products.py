"""What the demo's lender offers: every interest method and every rhythm."""

from datetime import date, timedelta
from decimal import Decimal

from lms.ledger import chart
from lms.ledger.models import Account, PostingProfile
from lms.loans.models import EligibilityRule, LoanProduct, ProductFee, ProductVersion
from lms.loans.operations import offers

# Code: name, terms, limits and fees. Rates are percent of the named period, amounts KES.
PRODUCTS = {
    "MKOPO30": {
        "name": "Mkopo Chap Chap",
        "description": "Thirty days, one payment, by phone. Facility fee deducted.",
        "method": "single_payment",
        "rate": "6.5",
        "rate_period": "term",
        "repay_every": 30,
        "repay_unit": "days",
        "number_of_repayments": 1,
        "limits": (1_000, 30_000, 1, 1),
        "penalty": ("instalment", "8", "once", 3, "none", "0"),
        "fees": [("Facility fee", "percent", "4", "deducted")],
    },
    "BIASHARA": {
        "name": "Biashara Weekly",
        "description": "Traders with a weekly turnover; flat interest over twelve weeks.",
        "method": "flat",
        "rate": "15",
        "rate_period": "term",
        "repay_every": 1,
        "repay_unit": "weeks",
        "number_of_repayments": 12,
        "limits": (5_000, 100_000, 8, 24),
        "penalty": ("fixed", "200", "weekly", 1, "amount", "1000"),
        "fees": [("Processing fee", "percent", "2.5", "deducted")],
    },
    "MSHAHARA": {
        "name": "Mshahara Check-off",
        "description": "Employed people; equal instalments on the declining balance.",
        "method": "declining_equal_instalments",
        "rate": "3",
        "rate_period": "month",
        "number_of_repayments": 6,
        "limits": (20_000, 300_000, 3, 12),
        "penalty": ("instalment", "5", "once", 5, "none", "0"),
        "fees": [("Processing fee", "percent", "2", "first_instalment")],
    },
    "KILIMO": {
        "name": "Kilimo Season",
        "description": "Farmers; equal principal, the first two months interest only.",
        "method": "declining_equal_principal",
        "rate": "2.25",
        "rate_period": "month",
        "day_count": "actual/365",
        "number_of_repayments": 12,
        "principal_grace": 2,
        "limits": (40_000, 500_000, 6, 18),
        "penalty": ("principal", "3", "monthly", 7, "percent_of_base", "18"),
        "allocation_order": "interest_principal_fees_penalties",
        "allocation_direction": "horizontal",
        "fees": [
            ("Appraisal fee", "amount", "1500", "deducted"),
            ("Insurance", "percent", "1", "first_instalment"),
        ],
    },
    "LOGBOOK": {
        "name": "Logbook Bullet",
        "description": "Secured by a vehicle; interest monthly, principal at the end.",
        "method": "interest_only",
        "rate": "4",
        "rate_period": "month",
        "number_of_repayments": 6,
        "limits": (80_000, 600_000, 3, 12),
        "penalty": ("principal_and_interest", "0.25", "daily", 3, "percent_of_principal", "10"),
        "allocation_order": "interest_fees_principal",
        "surplus": "credit",
        "fees": [("Valuation and tracking", "amount", "7500", "deducted")],
    },
    "SOKO": {
        "name": "Soko Daily",
        "description": "Market traders; thirty small instalments, one a day.",
        "method": "flat",
        "rate": "8",
        "rate_period": "term",
        "repay_every": 1,
        "repay_unit": "days",
        "number_of_repayments": 30,
        "limits": (2_000, 20_000, 15, 60),
        "penalty": ("fixed", "20", "once", 2, "none", "0"),
        "fees": [("Card and passbook", "amount", "150", "first_instalment")],
    },
}  # fmt: skip


# Rule, limit, and whether it refuses a loan or only warns.
RULES = (
    ("min_age", "18", True),
    ("max_age", "75", True),
    ("kyc", None, True),
    ("arrears", "30", False),
    ("active_loans", "3", True),
    ("exposure", "1500000", True),
    ("score", "100", False),
    ("cool_off", "1", False),
)
# What is paid back at the end, or after the harvest, is not held against the income of a month.
AFFORDABLE = ("MKOPO30", "BIASHARA", "MSHAHARA", "SOKO")


# Loans on a logbook show in the books by themselves: code, name and the account each stands for.
OWN_ACCOUNTS = (
    ("1112", "Loan principal, logbooks", chart.LOAN_PRINCIPAL),
    ("4012", "Interest income, logbooks", chart.INTEREST_INCOME),
)


def offer(*, by, approver, on: date) -> dict[str, LoanProduct]:
    """Create every product with its approved terms and fees; return them by code."""
    own = {"LOGBOOK": {"posting_profile": _profile(by=by)}}
    return {
        code: _offer_one(code, terms | own.get(code, {}), by=by, approver=approver, on=on)
        for code, terms in PRODUCTS.items()
    }


def _profile(*, by) -> PostingProfile:
    """Create the accounts of loans on a logbook, and the profile that names them."""
    profile = PostingProfile(name="Logbook loans")
    _save(profile, by=by)
    for code, name, common in OWN_ACCOUNTS:
        place = Account.objects.get(pk=common)
        account = Account(
            code=code,
            name=name,
            kind=place.kind,
            parent=place.parent,
            stands_for=place,
            takes_manual_entries=False,
        )
        account.full_clean()
        _save(account, by=by)
        profile.accounts.add(account)
    return profile


def raise_price(product: LoanProduct, *, by, approver, on: date) -> ProductVersion:
    """Have dearer terms approved that start when the notice has passed."""
    version = offers.new_version(product, by=by, on=on)
    version.rate += 1
    version.note = "Cost of funds went up by one point."
    version._history_user, version._change_reason = by, "Cost of funds"
    version.save()
    return offers.approve_version(
        version,
        reference=f"BRD/{on:%Y}/{version.number:02d} price",
        starts_on=on + timedelta(days=product.notice_days),
        by=approver,
        on=on,
    )


def _offer_one(code: str, terms: dict, *, by, approver, on: date) -> LoanProduct:
    smallest, largest, fewest, most = terms.pop("limits")
    base, value, frequency, grace, cap_kind, cap = terms.pop("penalty")
    fees, rate = terms.pop("fees"), Decimal(terms.pop("rate"))
    product = LoanProduct(code=code, name=terms.pop("name"), description=terms.pop("description"))
    product.full_clean()
    _save(product, by=by)
    version = offers.new_version(product, by=by, on=on)
    given = terms | {
        "rate": rate,
        "min_rate": rate / 2,
        "max_rate": rate * 2,
        "min_principal": Decimal(smallest),
        "max_principal": Decimal(largest),
        "min_repayments": fewest,
        "max_repayments": most,
        "penalty_base": base,
        "penalty_value": Decimal(value),
        "penalty_frequency": frequency,
        "penalty_grace_days": grace,
        "penalty_cap_kind": cap_kind,
        "penalty_cap_value": Decimal(cap),
    }
    for name, value in given.items():
        setattr(version, name, value)
    version.full_clean()
    _save(version, by=by)
    for name, kind, amount, when in fees:
        fee = ProductFee(version=version, name=name, kind=kind, value=Decimal(amount), when=when)
        fee.full_clean()
        _save(fee, by=by)
    affordable = (("affordability", "60", False),) if code in AFFORDABLE else ()
    for kind, limit, is_hard in (*RULES, *affordable):
        rule = EligibilityRule(
            version=version, kind=kind, limit=limit and Decimal(limit), is_hard=is_hard
        )
        rule.full_clean()
        _save(rule, by=by)
    offers.approve_version(
        version, reference=f"BRD/{on:%Y}/{code}", starts_on=on, by=approver, on=on
    )
    return product


def _save(record, *, by) -> None:
    record._history_user, record._change_reason = by, "Offered"
    record.save()
