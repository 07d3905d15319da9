"""What the result of a reversal says.

Pure: no Django, no clock, no database. What cannot be believed raises MalformedCallback.
Source: Daraja 3.0, "Reversals".
"""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from lms.mpesa.callbacks import (
    MalformedCallback,
    amount,
    clean,
    moment,
    read_object,
    receipt,
)
from lms.mpesa.results import Result, parse_result
from lms.mpesa.reversal_codes import sent_back


@dataclass(frozen=True)
class ReversalResult:
    """The result of a reversal. What Safaricom leaves out is "" or None, always so on failure."""

    result: Result
    transaction_id: str = ""
    original: str = ""
    amount: Decimal | None = None
    completed_at: datetime | None = None

    @property
    def sent_back(self) -> bool:
        """Tell whether the payer has the money, by this reversal or by one before."""
        return sent_back(self.result.result_code)


def parse_reversal(body: bytes | str) -> ReversalResult:
    """Return what the result of a reversal says, wrapped in Result or flat.

    Raises MalformedCallback. A success names the payment and the amount, or neither.
    """
    result = parse_result(body)
    if result.result_code == "":
        raise MalformedCallback("ResultCode is missing.", "ResultCode")
    if not result.success:
        return ReversalResult(result)
    found = read_object(body)
    original = result.one("OriginalTransactionID")
    given = result.one("Amount")
    return ReversalResult(
        result,
        transaction_id=clean(found.get("Result", found).get("TransactionID"), 20),
        original="" if original in (None, "") else receipt(original, "OriginalTransactionID"),
        amount=None if given in (None, "") else amount(given, "Amount"),
        completed_at=_completed_at(result),
    )


def _completed_at(result: Result) -> datetime | None:
    try:
        return moment(result.one("TransCompletedTime"), "TransCompletedTime")
    except MalformedCallback:
        return None
