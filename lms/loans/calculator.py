"""The one door to the lending maths: schedule, price, payoff, penalty. No Django, no clock.

>>> RepaymentCalculator(Terms(...)).schedule()
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from decimal import Decimal
from functools import cached_property

from lms import dates, money
from lms.errors import Refused
from lms.loans import apr as price
from lms.loans import penalties, recalculation, settlement
from lms.loans.interest import PERIODS_A_YEAR
from lms.loans.schedule import Row, rounding_warning, schedule
from lms.loans.terms import Fee, FeeSum, Terms, Tranche, fee_sum
from lms.money import CENT

# The days of a period of one unit when it is not regular. Source: 12 CFR 1026, Appendix J (b)(5).
UNIT_DAYS = {"days": 1, "weeks": 7, "months": 30}


class RepaymentCalculator:
    """Answers every question about one set of terms."""

    def __init__(self, terms: Terms) -> None:
        self.terms = terms
        self._made: list[Row] | None = None

    @property
    def _rows(self) -> list[Row]:
        if self._made is None:  # Python 3.11 takes a lock for each cached_property.
            self._made = schedule(self.terms)
        return self._made

    def schedule(self) -> list[Row]:
        """Return the instalments. Raises Refused for terms whose rounding cannot work."""
        return list(self._rows)

    def warning(self) -> str | None:
        """Return a sentence where rounding makes the last instalment far larger than the others."""
        return rounding_warning(self.terms)

    def capitalised_interest(self) -> Decimal:
        """Return the interest of grace that became principal (KES): it still counts as interest.

        In duplum and the credit bureau's principal are measured on what was lent.
        """
        lent = self.terms.disbursed + self.fees_added().total
        return sum((row.principal for row in self._rows), money.ZERO) - lent

    def recalculated(
        self, *, paid: Sequence[tuple[date, Decimal]], on: date, rows: Sequence[Row] | None = None
    ) -> list[Row]:
        """Return the rows with the interest that was really earned, as `recalculation` does.

        `paid` are days and KES of principal; `rows` those of a later schedule, where there is one.
        Raises Refused for terms whose interest does not follow the balance of each day.
        """
        terms = self.terms
        if terms.method == "flat":
            raise Refused(
                "A flat loan bears the interest it was lent at: only a declining balance is "
                "recalculated.",
                field="method",
            )
        for name in ("interest_grace", "interest_free"):
            if getattr(terms, name):
                raise Refused("Interest in grace does not follow the days.", field=name)
        return recalculation.recalculate(
            self._rows if rows is None else rows,
            paid=paid,
            annual_rate=terms.annual_rate,
            day_count=terms.day_count,
            interest_multiple=terms.interest_multiple,
            disbursed_on=terms.disbursed_on,
            on=on,
            tranches=terms.tranches,
        )

    def fees_deducted(self) -> FeeSum:
        """Return the fees and excise kept back from the disbursement (KES)."""
        return fee_sum(self.terms, "deducted")

    def fees_before(self) -> FeeSum:
        """Return the fees and excise that are paid before the disbursement (KES)."""
        return fee_sum(self.terms, "paid_before")

    def fees_added(self) -> FeeSum:
        """Return the fees and excise that are lent on top of the principal (KES)."""
        return fee_sum(self.terms, "added_to_principal")

    def fees_billed(self) -> FeeSum:
        """Return the fees and excise that fall due with the instalments (KES)."""
        first, spread = fee_sum(self.terms, "first_instalment"), fee_sum(self.terms, "spread")
        return FeeSum(first.fee + spread.fee, first.excise + spread.excise)

    def net_disbursed(self) -> Decimal:
        """Return what the customer receives first: principal less the fees deducted (KES)."""
        return money.money(self.terms.principal - self.fees_deducted().total)

    def total_payable(self) -> Decimal:
        """Return the sum of all instalments (KES)."""
        return sum((row.total for row in self._rows), money.ZERO)

    def total_cost_of_credit(self) -> Decimal:
        """Return what the loan costs above the principal: interest, fees, excise (KES)."""
        before = self.fees_deducted().total + self.fees_before().total
        return self.total_payable() + before - self.terms.disbursed

    def apr(self, unit: Decimal = CENT) -> Decimal:
        """Return the nominal annual percentage rate: the period's rate × periods a year (%).

        Rounded to `unit`. Source: unit-period method of 12 CFR 1026, Appendix J. Raises Refused
        where the fees leave nothing to pay out, for then there is no rate.
        """
        return _percent(self._period_rate * self._periods_a_year, unit)

    def eir(self, unit: Decimal = CENT) -> Decimal:
        """Return the effective annual rate, compounded (%), rounded to `unit`.

        Source: 2008/48/EC, Annex I: years of 12 equal months, 52 weeks or 365 days. Raises Refused
        where the fees leave nothing to pay out.
        """
        if all(flow.fraction == 0 for flow in [*self._flows, *self._advances]):
            rate = price.compounded(self._period_rate, self._periods_a_year)
        else:
            flows = [(row.total, self._years_until(row.due_date)) for row in self._rows]
            tranches = self.terms.tranches
            advances = [(amount, self._years_until(day)) for day, amount in tranches]
            rate = price.effective(self._received, flows, advances)
        return _percent(rate, unit)

    @cached_property
    def _received(self) -> Decimal:
        received = self.net_disbursed() - self.fees_before().total
        if received <= 0:
            raise Refused("The fees leave nothing to pay out.", field="fees")
        return received

    @cached_property
    def _period_rate(self) -> Decimal:
        return price.irr(self._received, self._flows, self._advances)

    @property
    def _is_one_payment(self) -> bool:
        return self.terms.method == "single_payment"

    @cached_property
    def _periods_a_year(self) -> Decimal:
        """The unit-periods a year: of one payment the period is the term, a year at most."""
        if self._is_one_payment:
            return max(1 / self._years_until(self._rows[-1].due_date), Decimal(1))
        return Decimal(PERIODS_A_YEAR[self.terms.unit]) / self.terms.repay_every

    @cached_property
    def _flows(self) -> list[price.Flow]:
        return [price.Flow(row.total, *self._periods_until(row.due_date)) for row in self._rows]

    @cached_property
    def _advances(self) -> list[price.Flow]:
        return [price.Flow(kes, *self._periods_until(day)) for day, kes in self.terms.tranches]

    def _periods_until(self, due: date) -> tuple[int, Decimal]:
        """Return the whole unit-periods and the fraction of one from disbursement to a day.

        Source: 12 CFR 1026, Appendix J (b)(5): a month has 30 days, and odd days come first.
        """
        if self._is_one_payment:
            years = self._years_until(due)
            if years <= 1 and due == self._rows[-1].due_date:
                return 1, Decimal(0)
            periods = years * self._periods_a_year
            return int(periods), periods % 1
        months, days = self._time_until(due)
        whole, odd = divmod(
            months * UNIT_DAYS["months"] + days, UNIT_DAYS[self.terms.unit] * self.terms.repay_every
        )
        return whole, Decimal(odd) / (UNIT_DAYS[self.terms.unit] * self.terms.repay_every)

    def _years_until(self, due: date) -> Decimal:
        months, days = self._time_until(due)
        weeks, days = divmod(days, 7) if self.terms.unit == "weeks" else (0, days)
        return Decimal(months) / 12 + Decimal(weeks) / 52 + Decimal(days) / 365

    def _time_until(self, due: date) -> tuple[int, int]:
        """Return the whole months, where the unit is months, and the days beside them.

        Months are measured back from the later day, except that the end of a month is a whole
        number of months after a later end: 31 January to 28 February is one.
        """
        start = self.terms.disbursed_on
        if self.terms.unit != "months":
            return 0, (due - start).days
        months = (due.year - start.year) * 12 + due.month - start.month
        if dates.add_months(start, months) == due:
            return months, 0
        if dates.add_months(due, -months) < start:
            months -= 1
        return months, (dates.add_months(due, -months) - start).days

    def payoff(
        self,
        *,
        on: date,
        dues: Sequence[settlement.Due] | None = None,
        rebate: str = "none",
        **answers: object,
    ) -> settlement.Quote:
        """Return what pays the loan off on a day, as `settlement.quote` does.

        Without `dues` everything due by the day is paid, and nothing of the rest.
        """
        self._refuse_running_tranche(on)
        if dues is None:
            dues = [settlement.due_of(row) for row in self._rows]
            dues = [replace(due, owing={}) if due.due_date <= on else due for due in dues]
        return settlement.quote(
            dues,
            on=on,
            rebate=rebate,
            declining=self.terms.method != "flat",
            annual_rate=self.terms.annual_rate,
            day_count=self.terms.day_count,
            capitalised=settlement.capitalised_by(self.terms),
            **answers,
        )

    def prepay(
        self,
        *,
        on: date,
        extra: Decimal,
        keep: str,
        rows: Sequence[Row] | None = None,
        rebate: str = "none",
    ) -> list[Row]:
        """Return the rows left once `extra` KES paid principal early, as `settlement.prepay` does.

        `rows` are those of an earlier prepayment, where there was one.
        """
        self._refuse_running_tranche(on)
        rows = self._rows if rows is None else rows
        return settlement.prepay(self.terms, rows, on=on, extra=extra, keep=keep, rebate=rebate)

    def _refuse_running_tranche(self, on: date) -> None:
        """Refuse where principal is still to be paid out, or was since the last due date.

        Settlement reckons from due date to due date, on one balance.
        """
        if not self.terms.tranches:
            return
        past = [row.due_date for row in self._rows if row.due_date <= on]
        since = past[-1] if past else self.terms.disbursed_on
        for tranche in self.terms.tranches:
            if tranche.paid_on > since:
                raise Refused(
                    f"The tranche of {dates.show(tranche.paid_on)} comes after the last due date: "
                    "settle once the instalment after it is due, or lend without it.",
                    field="tranches",
                )

    def penalty(self, rule: penalties.PenaltyRule, *, number: int, on: date) -> Decimal:
        """Return the penalty (KES) of one instalment of which nothing is paid by a day."""
        row = self._rows[number - 1]
        return penalties.owed(
            rule,
            due_date=row.due_date,
            on=on,
            principal=row.principal,
            interest=row.interest,
            outstanding_principal=row.balance + row.principal,
            loan_principal=self.terms.disbursed,
            maturity=self._rows[-1].due_date,
        )


def _percent(rate: Decimal, unit: Decimal) -> Decimal:
    return (rate * 100).quantize(unit, money.HALF_UP)


__all__ = ["Fee", "FeeSum", "RepaymentCalculator", "Row", "Terms", "Tranche"]
