"""Loans from a file, known by their old number: running ones to take over, or applications."""

from datetime import date
from decimal import Decimal

from lms import tables
from lms.customers.models import Customer
from lms.errors import Refused
from lms.imports.kind import Run
from lms.imports.rowwise import Cells, RowByRow, RowVerdict
from lms.imports.verdicts import NEW, UNCHANGED
from lms.loans.models import Loan, LoanProduct, ProductVersion
from lms.loans.models.terms import Method, RatePeriod, Unit
from lms.loans.operations import lifecycle
from lms.money import kes
from lms.staff.models import Staff

PERIODS = {
    **{value: value for value in RatePeriod.values},
    "pa": "year",
    "annual": "year",
    "yearly": "year",
    "pm": "month",
    "monthly": "month",
    "weekly": "week",
    "daily": "day",
}
UNITS = {
    **{value: value for value in Unit.values},
    "day": "days",
    "week": "weeks",
    "month": "months",
    "daily": "days",
    "weekly": "weeks",
    "monthly": "months",
}
METHODS = {
    **{value.replace("_", ""): value for value in Method.values},
    "decliningbalance": Method.EQUAL_INSTALMENTS.value,
    "reducingbalance": Method.EQUAL_INSTALMENTS.value,
    "flatrate": Method.FLAT.value,
}
SCHEDULES = {"generate": "generate", "generated": "generate", "yes": "generate",
             "import": "import", "imported": "import", "no": "import"}  # fmt: skip


class Loans(RowByRow):
    """One line a loan. With a day of disbursement it is taken over as running, else a draft."""

    code = "loans"
    label = "Loans"
    columns = {
        "legacy_number": ("old number", "loan number", "loan no", "loan", "number", "loan id"),
        "customer": (
            "customer number",
            "customer no",
            "phone",
            "mobile",
            "id number",
            "id no",
            "client",
            "borrower",
        ),
        "product": ("product code", "loan product"),
        "principal": ("amount", "loan amount", "amount lent", "principal (kes)"),
        "rate": ("interest rate", "interest rate (%)", "rate (%)"),
        "rate_period": ("rate per",),
        "method": ("interest method",),
        "number_of_repayments": ("repayments", "instalments", "installments", "term"),
        "repay_every": ("every",),
        "repay_unit": ("unit", "frequency"),
        "applied_on": ("applied", "application date"),
        "disbursed_on": ("disbursed", "disbursement date", "date disbursed", "start date"),
        "first_due": ("first due date", "first instalment due", "first repayment date"),
        "schedule": ("make schedule",),
        "purpose": ("loan purpose",),
        "loan_officer": ("officer",),
    }
    required = ("legacy_number", "customer", "product", "principal")
    permissions = ("loans.add_loan",)
    template = (
        "legacy_number", "customer", "product", "principal", "rate", "number_of_repayments",
        "disbursed_on", "first_due", "schedule", "purpose",
    )  # fmt: skip
    examples = (
        (
            "OLD-0017", "0712 345 678", "BIASHARA", "50000.00", "24", "12", "2026-01-15",
            "2026-02-15", "import", "Stock",
        ),
        (
            "OLD-0018", "0722 000 111", "BIASHARA", "30000.00", "", "6", "2026-02-01", "",
            "generate", "School fees",
        ),
    )  # fmt: skip

    def identify(self, cells: Cells, verdict: RowVerdict) -> list[tuple[str, str]]:
        number = cells.must("legacy_number", tables.parse_text).upper()
        verdict.name = number
        if len(number) > 40:
            raise Refused("The old number is longer than 40 letters.", field="legacy_number")
        if Loan.key_of(number):
            raise Refused(
                f"“{number}” reads like a loan number of this office, so money for one loan could "
                f"reach another: write it as OLD-{number}.",
                field="legacy_number",
            )
        return [("legacy_number", number)]

    def handle(self, cells: Cells, verdict: RowVerdict, run: Run) -> None:
        wanted = self._wanted(cells, run)
        known = Loan.objects.filter(legacy_number=verdict.name).select_related("customer").first()
        if known is not None:
            self._compare(known, wanted, run.by)
            verdict.decide(UNCHANGED, f"Known here as {known.number}")
            return
        disbursed_on = wanted.pop("disbursed_on")
        generate = cells.choice("schedule", SCHEDULES, "import") == "generate"
        applied_on = cells.read("applied_on", tables.parse_date, disbursed_on or run.on)
        loan = lifecycle.apply(
            **wanted,
            version=_version(wanted["product"], applied_on, run.on) if disbursed_on else None,
            terms=self._terms(cells),
            by=run.by,
            on=applied_on,
            first_due=cells.read("first_due", tables.parse_date),
            purpose=cells.text("purpose")[:120],
            loan_officer=_officer(cells),
            legacy_number=verdict.name,
        )
        _check_terms(loan)
        if disbursed_on:
            loan = lifecycle.take_over(
                loan, disbursed_on=disbursed_on, with_schedule=generate, by=run.by, on=run.on
            )
        status = "running" if disbursed_on else "a draft"
        verdict.decide(NEW, f"{kes(loan.principal)} for {loan.customer.name}, {status}")

    def _wanted(self, cells: Cells, run: Run) -> dict[str, object]:
        """Return what the line says of the contract. Raises Refused naming the column."""
        code = cells.must("product", tables.parse_text)
        product = (
            LoanProduct.objects.filter(code__iexact=code).first()
            or LoanProduct.objects.filter(name__iexact=code).first()
        )
        if product is None:
            raise Refused(f"There is no product “{code}”. Write its code.", field="product")
        return {
            "customer": _customer(cells, run.by),
            "product": product,
            "principal": cells.must("principal", tables.parse_money),
            "disbursed_on": cells.read("disbursed_on", tables.parse_date),
        }

    def _terms(self, cells: Cells) -> dict[str, object]:
        """Return the terms that the line sets against those of the product."""
        given = {
            "rate": cells.read("rate", _rate),
            "rate_period": cells.choice("rate_period", PERIODS) or None,
            "method": cells.choice("method", METHODS) or None,
            "number_of_repayments": cells.read("number_of_repayments", tables.parse_int),
            "repay_every": cells.read("repay_every", tables.parse_int),
            "repay_unit": cells.choice("repay_unit", UNITS) or None,
        }
        return {field: value for field, value in given.items() if value is not None}

    @staticmethod
    def _compare(known: Loan, wanted: dict[str, object], by: Staff) -> None:
        """Refuse a line that tells something else of a loan than what stands here."""
        if not Loan.objects.seen_by(by).filter(pk=known.pk).exists():
            raise Refused("A loan of another branch has this number.", field="legacy_number")
        for field in ("customer", "product", "principal", "disbursed_on"):
            before, after = getattr(known, field), wanted[field]
            if before != after:
                raise Refused(
                    f"{known.number} is here already with {field.replace('_', ' ')} "
                    f"{_shown(before)}, not {_shown(after)}: a file does not change a loan.",
                    field=field,
                )


def _customer(cells: Cells, by: Staff) -> Customer:
    """Return the one customer that a number, phone or ID number means."""
    text = cells.must("customer", tables.parse_text)
    found = (
        list(Customer.objects.seen_by(by).matching(text)[:2])
        if any(letter.isdigit() for letter in text)
        else []
    )
    if len(found) == 1:
        return found[0]
    why = f"“{text}” means several customers" if found else f"There is no customer “{text}”"
    raise Refused(f"{why}. Write the phone, the ID number or CU000123.", field="customer")


def _version(product: LoanProduct, applied_on: date, on: date) -> ProductVersion | None:
    """Return the terms of the day a running loan was applied for, or today's for one before."""
    return product.version_on(applied_on) or product.version_on(on)


def _officer(cells: Cells) -> Staff | None:
    if not (text := cells.text("loan_officer")):
        return None
    found = Staff.objects.filter(username__iexact=text, is_active=True).first()
    if found is None:
        raise Refused(f"There is no member of staff “{text}”.", field="loan_officer")
    return found


def _rate(cell: object) -> Decimal:
    """Return a rate in percent: 24, "24%", "2.75"."""
    text = tables.parse_text(cell).removesuffix("%").strip()
    whole, _, part = text.partition(".")
    if not (whole.isascii() and whole.isdigit()) or not (not part or part.isdigit()):
        raise ValueError(f"“{text}” is not a rate. Write it in percent, like 24 or 2.5.")
    return Decimal(text)


def _check_terms(loan: Loan) -> None:
    """Raise ValidationError for terms that a form would not take, and for odd days."""
    loan.clean_fields(exclude=["created_by"])
    if loan.first_due and loan.first_due <= loan.applied_on:
        raise Refused("The first instalment falls due after the disbursement.", field="first_due")


def _shown(value: object) -> str:
    if isinstance(value, Decimal):
        return kes(value)
    if isinstance(value, date):
        return f"{value:%d %b %Y}"
    return "none" if value is None else str(value)
