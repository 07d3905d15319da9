from datetime import date
from decimal import Decimal

import pytest

from lms import dates
from lms.closing import reminders
from lms.errors import Refused
from lms.ledger.models import Transfer
from lms.loans.models import DeathClaim, Loan, Penalty
from lms.loans.operations import deaths, lifecycle, writing_off
from lms.notifications.models import Message
from tests import factories, nights
from tests.books import prove

D = Decimal
DIED = date(2026, 2, 25)
DAY = date(2026, 3, 10)


@pytest.fixture
def late(db):
    """100,000 with 10 a day from the first day late; the instalment of 15 February is unpaid."""
    product = factories.product(
        penalty_base="fixed", penalty_value=D(10), penalty_frequency="daily"
    )
    return factories.active(product=product)


def claimed(loan, kamau, amount=105_000):
    deaths.record_death(loan.customer, died_on=DIED, by=kamau, on=DAY)
    claim = DeathClaim.objects.get(loan=loan)
    return deaths.make_claim(
        claim, insurer="Britam", claim_number="BR/7", amount=D(amount), by=kamau, on=DAY
    )


def test_interest_and_penalties_stop_on_the_day_of_the_death(late, kamau):
    nights.charge(on=DIED)
    nights.charge(on=DAY)

    deaths.record_death(late.customer, died_on=DIED, note="Told by the son", by=kamau, on=DAY)

    late.refresh_from_db()
    assert late.interest_stops_on == DIED
    assert late.position.penalties == 100  # ten days until the death, of 23
    claim = late.death_claim
    assert (claim.status, claim.died_on, claim.reported_on) == ("reported", DIED, DAY)
    assert (
        late.changes.get().summary == "Borrower died on 25 Feb 2026; KES 130.00 of penalties waived"
    )
    prove()


def test_nobody_reminds_the_dead(late, kamau):
    deaths.record_death(late.customer, died_on=DIED, by=kamau, on=DAY)

    assert reminders.remind(on=DAY, now=dates.now()) == 0
    assert not Message.objects.exists()


def test_applications_of_the_dead_are_withdrawn_and_none_are_taken(loan, kamau):
    waiting, draft = factories.approved(D(5_000)), factories.draft(D(4_000))

    deaths.record_death(loan.customer, died_on=DIED, by=kamau, on=DAY)

    waiting.refresh_from_db()
    assert (waiting.status, waiting.decision) == ("withdrawn", "The borrower died")
    Loan.objects.filter(pk=draft.pk).update(status="draft")
    with pytest.raises(Refused, match="Wanjiku Mwangi died on 25 Feb 2026"):
        lifecycle.submit(draft, by=kamau, on=DAY)
    customer = waiting.customer
    customer.refresh_from_db()
    with pytest.raises(Refused, match="Wanjiku Mwangi died on 25 Feb 2026"):
        lifecycle.apply(
            customer=customer, product=loan.product, principal=D(5_000), by=kamau, on=DAY
        )


def test_the_insurer_pays_the_loan_off_and_the_rest_is_the_estates(loan, kamau):
    claim = claimed(loan, kamau)

    deaths.settle_claim(claim, amount=D(105_000), reference="BRITAM-1", by=kamau, on=DAY)

    # Due are 9,456; principal of later rows 92,544; 10 days of it at 24% / 365: 609.
    loan.refresh_from_db()
    claim.refresh_from_db()
    assert (claim.status, claim.decided_on) == ("paid", DAY)
    assert (claim.payment.method, claim.payment.allocated) == ("insurance", D(102_609))
    assert claim.payment.credited == D(2_391)
    assert loan.status == "closed"
    prove()


def test_what_the_insurer_leaves_open_stays_owed_or_is_written_off(loan, kamau):
    claim = claimed(loan, kamau, amount=100_000)

    deaths.settle_claim(claim, amount=D(100_000), reference="BRITAM-1", by=kamau, on=DAY)

    loan.refresh_from_db()
    assert (loan.status, loan.position.outstanding) == ("active", D(2_609))
    prove()
    writing_off.write_off(loan, reason="No estate", by=kamau, on=DAY)
    prove()


def test_a_claim_that_was_refused_may_be_made_again(loan, kamau):
    claim = claimed(loan, kamau)

    deaths.refuse_claim(claim, reason="Policy had lapsed", by=kamau, on=DAY)
    before = Transfer.objects.count()
    with pytest.raises(Refused, match="The claim is refused: it is not paid now"):
        deaths.settle_claim(claim, amount=D(5), reference="x", by=kamau, on=DAY)

    assert Transfer.objects.count() == before
    again = deaths.make_claim(
        claim, insurer="Britam", claim_number="BR/8", amount=D(9), by=kamau, on=DAY
    )
    assert (again.status, again.decided_on) == ("claimed", None)


def test_a_death_recorded_by_mistake_is_taken_back(late, kamau):
    nights.charge(on=DAY)
    deaths.record_death(late.customer, died_on=DIED, by=kamau, on=DAY)

    deaths.undo_death(late.customer, reason="It was her sister", by=kamau, on=DAY)

    late.refresh_from_db()
    assert (late.interest_stops_on, late.customer.died_on) == (None, None)
    assert late.position.penalties == sum(p.amount for p in Penalty.objects.all())
    assert not DeathClaim.objects.exists()
    prove()


@pytest.mark.parametrize(
    ("died_on", "sentence"),
    [(date(2026, 3, 11), "The day is in the future"), (DIED, "The death of Wanjiku")],
)
def test_a_death_is_recorded_once_and_not_ahead(loan, kamau, died_on, sentence):
    if died_on == DIED:
        deaths.record_death(loan.customer, died_on=DIED, by=kamau, on=DAY)

    with pytest.raises(Refused, match=sentence):
        deaths.record_death(loan.customer, died_on=died_on, by=kamau, on=DAY)
