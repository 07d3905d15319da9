"""Whole schedules as files: `python -m tests.goldens [--check]`.

Writes tests/data/schedules/CASE.csv for every case below, so that a change of arithmetic shows as
a difference in the files. With --check it writes nothing, names the files that differ, and ends
with 1 if there are any.
"""

import csv
import io
import sys
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

from lms.loans.calculator import Fee, RepaymentCalculator, Row, Tranche
from tests.loans.terms import terms

D = Decimal
FOLDER = Path(__file__).parent / "data" / "schedules"

SIX = {"principal": D(60_000), "number_of_repayments": 6}
FLAT = {"method": "flat", "principal": D(50_000), "annual_rate": D(36), "number_of_repayments": 6}
PRINCIPAL = {**SIX, "method": "declining_equal_principal"}
ONLY_INTEREST = {**SIX, "method": "interest_only"}
MOBILE = {
    "principal": D(10_000),
    "method": "single_payment",
    "number_of_repayments": 1,
    "unit": "days",
    "repay_every": 30,
    "annual_rate": D("182.5"),
}
GRACE = {**SIX, "principal_grace": 2, "interest_grace": 2}
CHRISTMAS = {
    "disbursed_on": date(2026, 9, 25),
    "number_of_repayments": 6,
    "holidays": frozenset({date(2026, 12, 25), date(2026, 12, 26), date(2027, 1, 1)}),
}
SECOND_HALF = {"principal": D(50_000), "tranches": (Tranche(date(2026, 5, 15), D(50_000)),)}


def fee(when: str) -> dict[str, Any]:
    """Return one fee of 3% with excise, taken then."""
    return {"fees": (Fee("Processing", "percent", D(3), when, D(20)),), "number_of_repayments": 3}


CASES: dict[str, dict[str, Any]] = {
    # methods and units
    "equal_instalments_monthly": {},
    "equal_instalments_monthly_interest_in_shillings": {"interest_multiple": D(1)},
    "equal_instalments_weekly": {"unit": "weeks"},
    "equal_instalments_every_two_weeks": {
        "unit": "weeks",
        "repay_every": 2,
        "number_of_repayments": 6,
    },
    "equal_instalments_daily": {"unit": "days", "number_of_repayments": 30},
    "equal_instalments_quarterly": {"repay_every": 3, "number_of_repayments": 4},
    "equal_instalments_60_months": {"principal": D(1_000_000), "number_of_repayments": 60},
    "equal_instalments_one_repayment": {"number_of_repayments": 1},
    "equal_instalments_without_interest": {"annual_rate": D(0)},
    "flat_monthly": FLAT,
    "flat_weekly": {**FLAT, "unit": "weeks", "number_of_repayments": 12},
    "flat_daily_small": {
        "method": "flat",
        "principal": D(500),
        "annual_rate": D(109),
        "number_of_repayments": 30,
        "unit": "days",
        "interest_multiple": D(1),
    },
    "equal_principal_monthly": PRINCIPAL,
    "equal_principal_every_two_weeks": {**PRINCIPAL, "unit": "weeks", "repay_every": 2},
    "interest_only_monthly": ONLY_INTEREST,
    "interest_only_weekly": {**ONLY_INTEREST, "unit": "weeks"},
    "single_payment_30_days": MOBILE,
    "single_payment_14_days": {**MOBILE, "repay_every": 14, "annual_rate": D(10) * 365 / 14},
    "single_payment_12_months": {"method": "single_payment"},
    # roundings
    "rounded_to_the_cent": {"instalment_multiple": D("0.01")},
    "rounded_to_5": {"instalment_multiple": D(5)},
    "rounded_to_10": {"instalment_multiple": D(10)},
    "rounded_to_50": {"instalment_multiple": D(50)},
    "rounded_up_to_50": {"instalment_multiple": D(50), "rounding_mode": "up"},
    "fixed_instalment_9000": {"fixed_instalment": D(9000)},
    "flat_fixed_instalment_9500": {**FLAT, "fixed_instalment": D(9500)},
    # day counts
    "actual_365": {"day_count": "actual/365"},
    "actual_360": {"day_count": "actual/360"},
    "thirty_360": {"day_count": "30/360", "disbursed_on": date(2026, 1, 31)},
    "actual_actual_into_a_leap_year": {
        "day_count": "actual/actual",
        "disbursed_on": date(2023, 10, 15),
    },
    "actual_365_in_a_leap_year": {"day_count": "actual/365", "disbursed_on": date(2024, 1, 15)},
    "equal_principal_actual_365": {**PRINCIPAL, "day_count": "actual/365"},
    "interest_only_actual_360": {**ONLY_INTEREST, "day_count": "actual/360"},
    "single_payment_thirty_360_over_month_ends": {
        "method": "single_payment",
        "day_count": "30/360",
        "disbursed_on": date(2026, 1, 31),
        "number_of_repayments": 2,
    },
    "flat_actual_365": {**FLAT, "day_count": "actual/365"},
    # month ends and first periods
    "month_end_february_28": {"disbursed_on": date(2025, 12, 31), "number_of_repayments": 4},
    "month_end_february_29": {"disbursed_on": date(2023, 12, 31), "number_of_repayments": 4},
    "month_end_30th": {"disbursed_on": date(2026, 1, 30), "number_of_repayments": 4},
    "disbursed_on_february_29": {"disbursed_on": date(2024, 2, 29), "number_of_repayments": 13},
    "first_period_longer": {"first_due": date(2026, 3, 1)},
    "first_period_shorter": {"first_due": date(2026, 1, 31)},
    "first_period_longer_actual_365": {"first_due": date(2026, 3, 1), "day_count": "actual/365"},
    "first_period_longer_flat": {**FLAT, "first_due": date(2026, 3, 1)},
    "first_period_shorter_weekly": {"unit": "weeks", "first_due": date(2026, 1, 19)},
    # graces
    "grace_principal": {**SIX, "principal_grace": 2},
    "grace_interest_free": {**SIX, "principal_grace": 2, "interest_free": 2},
    "grace_capitalised": {**GRACE, "grace_interest": "capitalised"},
    "grace_accrued": {**GRACE, "grace_interest": "accrued"},
    "grace_free": {**GRACE, "grace_interest": "free"},
    "grace_billed": {**GRACE, "grace_interest": "billed"},
    "grace_accrued_flat": {**FLAT, "interest_grace": 2, "grace_interest": "accrued"},
    "grace_principal_longer_than_capitalised": {
        **SIX,
        "principal_grace": 3,
        "interest_grace": 1,
        "grace_interest": "capitalised",
    },
    "grace_principal_equal_principal": {**PRINCIPAL, "principal_grace": 2},
    # fees
    "fee_deducted": fee("deducted"),
    "fee_paid_before": fee("paid_before"),
    "fee_added_to_principal": fee("added_to_principal"),
    "fee_first_instalment": fee("first_instalment"),
    "fee_spread": fee("spread"),
    "fees_on_grace_rows": {
        **GRACE,
        "grace_interest": "capitalised",
        "fees": (Fee("Insurance", "amount", D(600), "spread"),),
    },
    # holidays and Sundays
    "holidays_kept": CHRISTMAS,
    "holidays_next_working_day": {**CHRISTMAS, "holiday_rule": "next"},
    "holidays_previous_working_day": {**CHRISTMAS, "holiday_rule": "previous"},
    # tranches
    "tranche_on_a_due_date": SECOND_HALF,
    "tranche_within_a_period": {
        "principal": D(50_000),
        "tranches": (Tranche(date(2026, 5, 25), D(50_000)),),
    },
    "tranches_three_actual_365": {
        "principal": D(40_000),
        "day_count": "actual/365",
        "tranches": (
            Tranche(date(2026, 3, 2), D(30_000)),
            Tranche(date(2026, 6, 20), D(30_000)),
        ),
    },
    "tranche_equal_principal": {**SECOND_HALF, "method": "declining_equal_principal"},
    "tranche_interest_only": {**SECOND_HALF, "method": "interest_only"},
    "tranche_single_payment": {**SECOND_HALF, "method": "single_payment"},
    "tranche_fixed_instalment": {**SECOND_HALF, "fixed_instalment": D(8000)},
    "tranche_in_capitalised_grace": {
        **GRACE,
        "grace_interest": "capitalised",
        "tranches": (Tranche(date(2026, 2, 25), D(40_000)),),
    },
    "tranche_over_a_moved_due_date": {
        **CHRISTMAS,
        "principal": D(50_000),
        "holiday_rule": "previous",
        "tranches": (Tranche(date(2026, 12, 24), D(50_000)),),
    },
}


def text(fields: dict[str, Any]) -> str:
    """Return the schedule of these terms as CSV."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(Row._fields)
    writer.writerows(RepaymentCalculator(terms(**fields)).schedule())
    return out.getvalue()


def differing() -> list[str]:
    """Return the names of files that differ from the calculator, are missing, or have no case."""
    found = {path.name: path.read_text(encoding="utf-8") for path in FOLDER.glob("*.csv")}
    made = {f"{case}.csv": text(fields) for case, fields in CASES.items()}
    return sorted(name for name in found | made if found.get(name) != made.get(name))


def write() -> None:
    """Make the files anew, and remove those whose case is gone."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name in differing():
        case = name.removesuffix(".csv")
        if case in CASES:
            (FOLDER / name).write_text(text(CASES[case]), encoding="utf-8")
        else:
            (FOLDER / name).unlink()


def main(words: list[str]) -> None:
    """Write the files or, with --check, say which differ."""
    different = differing()
    if "--check" not in words:
        write()
    print("\n".join([*different, f"{len(different)} of {len(CASES)} schedules differ."]))
    sys.exit("--check" in words and bool(different))


if __name__ == "__main__":
    main(sys.argv[1:])
