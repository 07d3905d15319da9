"""The one door to the lending maths: schedule, price, fees. No Django, no database, no clock.

>>> RepaymentCalculator(Terms(...)).schedule()
"""

from decimal import Decimal
from fractions import Fraction
from functools import cached_property

from lms import dates, money
from lms.loans import apr as price
from lms.loans.interest import PERIODS_A_YEAR
from lms.loans.schedule import Fee, FeeSum, Row, Terms, fee_sum, schedule
from lms.money import CENT

# The days of a period of one unit when it is not regular. Source: 12 CFR 1026, Appendix J (b)(5).
UNIT_DAYS = {"days": 1, "weeks": 7, "months": 30}


class RepaymentCalculator:
    """Answers every question about one set of terms."""

    def __init__(self, terms: Terms) -> None:
        self.terms = terms

    @cached_property
    def _rows(self) -> tuple[Row, ...]:
        return tuple(schedule(self.terms))

    def schedule(self) -> list[Row]:
        """Return the instalments. Raises Refused for terms whose rounding cannot work."""
        return list(self._rows)

    def fees_deducted(self) -> FeeSum:
        """Return the fees and excise kept back from the disbursement (KES)."""
        return fee_sum(self.terms, "deducted")

    def fees_billed(self) -> FeeSum:
        """Return the fees and excise that fall due with the instalments (KES)."""
        first, spread = fee_sum(self.terms, "first_instalment"), fee_sum(self.terms, "spread")
        return FeeSum(first.fee + spread.fee, first.excise + spread.excise)

    def net_disbursed(self) -> Decimal:
        """Return what the customer receives: principal less the fees deducted (KES)."""
        return money.money(self.terms.principal - self.fees_deducted().total)

    def total_payable(self) -> Decimal:
        """Return the sum of all instalments (KES)."""
        return sum((row.total for row in self._rows), money.ZERO)

    def total_cost_of_credit(self) -> Decimal:
        """Return what the loan costs above the principal: interest, fees, excise (KES)."""
        before = self.fees_deducted().total + fee_sum(self.terms, "paid_before").total
        return self.total_payable() + before - self.terms.principal

    def _received(self) -> Decimal:
        return self.net_disbursed() - fee_sum(self.terms, "paid_before").total

    def apr(self) -> Decimal:
        """Return the nominal annual percentage rate: the period's rate × periods a year (%).

        Source: unit-period method of 12 CFR 1026, Appendix J.
        """
        flows = [price.Flow(row.total, *self._periods_until(row)) for row in self._rows]
        rate = price.irr(self._received(), flows)
        return (rate * 100 * self._periods_a_year).quantize(CENT)

    def eir(self) -> Decimal:
        """Return the effective annual rate, compounded (%). Source: 2008/48/EC, Annex I."""
        flows = []
        for row in self._rows:
            whole, fraction = self._periods_until(row)
            flows.append((row.total, (whole + fraction) / self._periods_a_year))
        return (price.effective(self._received(), flows) * 100).quantize(CENT)

    @property
    def _periods_a_year(self) -> Decimal:
        return Decimal(PERIODS_A_YEAR[self.terms.unit]) / self.terms.repay_every

    def _periods_until(self, row: Row) -> tuple[int, Decimal]:
        """Return the whole periods and the fraction of one from disbursement to a due date."""
        terms, whole = self.terms, 0
        start = terms.disbursed_on
        while dates.add_period(start, terms.repay_every * (whole + 1), terms.unit) <= row.due_date:
            whole += 1
        reached = dates.add_period(start, terms.repay_every * whole, terms.unit)
        odd = Fraction((row.due_date - reached).days, UNIT_DAYS[terms.unit] * terms.repay_every)
        return whole, Decimal(odd.numerator) / odd.denominator


__all__ = ["Fee", "FeeSum", "RepaymentCalculator", "Row", "Terms"]
