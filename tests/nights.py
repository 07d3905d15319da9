"""Single steps of the night over every loan, for tests that need no whole close."""

from datetime import date

from lms.loans.operations.night import charges, credit

EVERYBODY = (0, 10**9)


def charge(*, on: date) -> int:
    return charges.charge(*EVERYBODY, on=on)


def use_credit(*, on: date) -> int:
    return credit.use(*EVERYBODY, on=on)
