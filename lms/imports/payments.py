"""Payments from a file: received and placed as a cashier would, known by their reference."""

import re

from lms import tables
from lms.errors import Refused
from lms.imports.kind import Run
from lms.imports.rowwise import Cells, RowByRow, RowVerdict
from lms.imports.verdicts import NEW, UNCHANGED
from lms.money import kes
from lms.payments.models import Payment, normal_reference
from lms.routing import take

METHODS = {
    "cash": "cash",
    "mpesa": "mpesa",
    "paybill": "mpesa",
    "till": "mpesa",
    "bank": "bank",
    "banktransfer": "bank",
    "eft": "bank",
    "rtgs": "bank",
    "cheque": "cheque",
    "check": "cheque",
}


class Payments(RowByRow):
    """One line a payment. A reference is posted once, so a file can be brought again."""

    code = "payments"
    label = "Payments"
    columns = {
        "method": ("payment method", "channel", "mode", "mode of payment", "paid by"),
        "reference": (
            "ref",
            "ref no",
            "receipt",
            "receipt no",
            "receipt number",
            "transaction id",
            "transaction code",
            "mpesa code",
            "cheque no",
            "slip no",
        ),
        "amount": ("amount paid", "paid", "amount (kes)", "paid in", "received"),
        "value_date": ("date", "date paid", "payment date", "paid on", "completion time"),
        "account": ("loan", "loan no", "loan number", "account no", "account number", "a/c no"),
        "payer_name": ("payer", "paid by name", "customer name"),
        "payer_phone": ("phone", "phone number", "msisdn"),
        "note": ("notes", "remarks"),
    }
    required = ("method", "reference", "amount", "value_date", "account")
    permissions = ("payments.add_payment",)
    template = ("method", "reference", "amount", "value_date", "account", "payer_name", "note")
    examples = (
        ("mpesa", "UKL7AB12CD", "5000.00", "2026-02-15", "LN000123", "Wanjiku Mwangi", ""),
        ("cash", "RB-0456", "1500.00", "2026-02-16", "LN000124", "Otieno Ouma", "receipt book 4"),
    )

    def identify(self, cells: Cells, verdict: RowVerdict) -> list[tuple[str, str]]:
        reference = normal_reference(cells.text("reference"))
        if reference is None:
            raise Refused(
                "The reference is empty. Every line needs one, so that the file can be brought "
                "twice and posted once: for cash, write the number in the receipt book.",
                field="reference",
            )
        verdict.name = reference
        if len(reference) > 40:
            raise Refused("The reference is longer than 40 letters.", field="reference")
        return [("reference", reference)]

    def handle(self, cells: Cells, verdict: RowVerdict, run: Run) -> None:
        amount = cells.must("amount", tables.parse_money)
        posted = Payment.objects.filter(reference=verdict.name).first()
        if posted is not None:
            _compare(posted, amount)
            verdict.decide(UNCHANGED, f"Posted here as {posted.number}")
            return
        method = cells.choice("method", METHODS)
        if not method:
            raise Refused("The method is empty. Write cash, mpesa, bank or cheque.", field="method")
        payment = take(
            method=method,
            reference=verdict.name,
            amount=amount,
            value_date=cells.must("value_date", tables.parse_date),
            account=cells.text("account"),
            payer_name=re.sub(r"\s+", " ", cells.text("payer_name")),
            payer_phone=cells.text("payer_phone"),
            note=cells.text("note") or run.reason(verdict.line),
            branch=run.by.branch,
            by=run.by,
            on=run.on,
        )
        verdict.decide(NEW, _fate(payment))


def _compare(posted: Payment, amount) -> None:
    """Refuse a line that tells something else than what was posted under its reference."""
    if posted.status == Payment.Status.REVERSED:
        raise Refused(
            f"{posted.number} with this reference was reversed: a reference is posted once.",
            field="reference",
        )
    if posted.amount != amount:
        raise Refused(
            f"{posted.number} has this reference and {kes(posted.amount)}, not {kes(amount)}: "
            "correct the line, or reverse the payment.",
            field="amount",
        )


def _fate(payment: Payment) -> str:
    if payment.status == Payment.Status.UNALLOCATED:
        account = f"no loan “{payment.account}” takes it" if payment.account else "no account given"
        return f"{kes(payment.amount)}, waits unallocated: {account}"
    credit = f", {kes(payment.credited)} held as credit" if payment.credited else ""
    return f"{kes(payment.allocated)} on {payment.account}{credit}"
