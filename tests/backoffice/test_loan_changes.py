"""Changing a running loan from its page: the preview, the dialogs, the record, and undoing."""

from datetime import date
from decimal import Decimal

import pytest

from lms import dates, routing
from lms.ledger.models import Transfer
from lms.loans.models import Loan, LoanChange, Repayment, Tranche
from lms.loans.operations import lifecycle, restructuring
from lms.payments.models import Payout
from tests import factories
from tests.backoffice.pages import answer, ask, queries_of, url_of, went_through
from tests.books import prove

MODEL, TODAY = "loans.loan", date(2026, 4, 20)
D = Decimal
VERBS = {
    "reschedule": {"from_number": 4, "what": "one", "due_date": "2026-05-20", "reason": "Flood"},
    "restructure": {
        "on": "2026-04-20", "number_of_repayments": 12, "first_due": "2026-05-15", "rate": 24,
        "method": "declining_equal_instalments", "repay_every": 1, "repay_unit": "months",
        "arrears": "carry", "reason": "Shop burnt",
    },
    "top_up": {
        "amount": 20_000, "method": "cash", "number_of_repayments": 12, "reason": "Second shop",
    },
}  # fmt: skip


@pytest.fixture(autouse=True)
def _today(monkeypatch):
    monkeypatch.setattr(dates, "today", lambda: TODAY)


@pytest.fixture
def running(loan):
    """Wanjiku's loan with three instalments paid on time."""
    for month in (2, 3, 4):
        routing.take(
            method="cash", amount=D(9456), reference=None, value_date=date(2026, month, 15),
            account=loan.number, by=factories.mutua(), on=date(2026, month, 15),
        )  # fmt: skip
    return Loan.objects.get(pk=loan.pk)


def state():
    rows = Repayment.objects.order_by("pk").values_list("pk", "due_date", "status", "interest")
    return list(rows), Transfer.objects.count(), LoanChange.objects.count()


def would(client, loan, verb, **answers):
    return client.post(url_of(MODEL, "change_preview", loan.pk, verb), answers).content.decode()


@pytest.mark.parametrize("verb", VERBS)
def test_asking_and_previewing_change_nothing(as_staff, kamau, running, verb):
    client, before = as_staff(kamau), state()

    page = ask(client, MODEL, verb, running.pk)
    shown = would(client, running, verb, **VERBS[verb])

    assert page.status_code == 200
    assert url_of(MODEL, "change_preview", running.pk, verb) in page.content.decode()
    assert "<table" in shown
    assert 'role="alert"' not in shown
    assert state() == before


@pytest.mark.parametrize("verb", VERBS)
def test_answering_changes_the_loan_once_and_undoing_brings_it_back(as_staff, kamau, running, verb):
    client, before = as_staff(kamau), state()[0]

    assert went_through(answer(client, MODEL, verb, running.pk, **VERBS[verb]))
    change = LoanChange.objects.get()
    assert (change.made_by, change.reason) == (kamau, VERBS[verb]["reason"])
    assert state()[0] != before
    prove()
    back = answer(client, MODEL, "undo_change", running.pk, reason="Wrong", money_is_back="on")

    assert went_through(back)
    change.refresh_from_db()
    assert change.undone_because == "Wrong"
    standing = [row for row in state()[0] if row[2] != "cancelled"]
    assert standing == before
    prove()


@pytest.mark.parametrize("verb", [*VERBS, "refinance", "undo_change"])
def test_only_those_who_may_decide_change_a_loan(as_staff, running, verb):
    client, before = as_staff(factories.mutua()), state()

    assert answer(client, MODEL, verb, running.pk, **VERBS.get(verb, {})).status_code == 403
    if verb in VERBS:
        preview = url_of(MODEL, "change_preview", running.pk, verb)
        assert client.post(preview, VERBS[verb]).status_code == 403
    assert state() == before


def test_the_preview_shows_both_schedules_and_what_becomes_of_the_interest(
    as_staff, kamau, running
):
    shown = would(as_staff(kamau), running, "restructure", **VERBS["restructure"])

    # 77,182 is owed; 24% for the five days since 15 April is 253.75.
    assert "KES 77,182.00" in shown
    assert "KES 254.00" in shown
    assert "15 Apr 2027" in shown


def test_the_preview_waits_for_an_answer_and_then_says_what_is_wrong(as_staff, kamau, running):
    client = as_staff(kamau)

    assert would(client, running, "reschedule", from_number=4, what="one").strip() == ""
    wrong = would(client, running, "reschedule", **VERBS["reschedule"] | {"due_date": "2026-07-01"})
    assert "Due dates follow the numbers" in wrong
    wrong = would(client, running, "restructure", **VERBS["restructure"] | {"rate": "-1"})
    assert "Interest rate (% a year)" in wrong


def test_a_refusal_is_shown_in_the_dialog_and_moves_nothing(as_staff, kamau, running):
    client, before = as_staff(kamau), state()

    page = answer(
        client, MODEL, "restructure", running.pk,
        **VERBS["restructure"] | {"first_due": "2026-04-01"},
    )  # fmt: skip

    assert "must fall due after" in page.content.decode()
    assert not went_through(page)
    assert state() == before


def test_a_holiday_moves_all_that_is_open(as_staff, kamau, running):
    answered = {"from_number": 4, "what": "holiday", "periods": 2, "reason": "Drought"}

    assert went_through(answer(as_staff(kamau), MODEL, "reschedule", running.pk, **answered))

    assert running.repayments.get(number=4).due_date == date(2026, 7, 15)
    assert running.repayments.get(number=12).due_date == date(2027, 3, 15)


def test_the_story_keeps_every_schedule_and_strikes_out_what_was_undone(as_staff, kamau, running):
    client = as_staff(kamau)
    answer(client, MODEL, "restructure", running.pk, **VERBS["restructure"])
    tab = client.get(url_of(MODEL, "part", running.pk, "changes")).content.decode()
    assert "Shop burnt" in tab
    assert "15 May 2026" in tab
    assert "office-undone" not in tab

    answer(client, MODEL, "undo_change", running.pk, reason="Wrong loan")

    tab = client.get(url_of(MODEL, "part", running.pk, "changes")).content.decode()
    assert "office-undone" in tab
    assert "Wrong loan" in tab
    change = LoanChange.objects.get()
    page = client.get(url_of("loans.loanchange", "change", change.pk)).content.decode()
    assert "Before: owed then" in page


def test_the_list_of_changes_asks_as_much_for_three_as_for_one(as_staff, kamau, running):
    client, url = as_staff(kamau), url_of("loans.loanchange", "changelist")

    def restructured(count):
        restructuring.restructure(
            running, number_of_repayments=count, arrears="carry", reason="x", by=kamau, on=TODAY
        )

    restructured(10)
    one = queries_of(client, url)
    restructured(11)
    restructured(12)

    assert queries_of(client, url) == one


def test_refinancing_starts_an_application_and_links_both_loans(as_staff, kamau, running):
    client = as_staff(kamau)
    wanted = {"principal": 100_000, "product": running.product_id, "number_of_repayments": 10}
    assert "KES 77,436.00" in would(client, running, "refinance", **wanted)

    assert went_through(answer(client, MODEL, "refinance", running.pk, **wanted))

    new = Loan.objects.get(refinances=running)
    assert (new.status, new.principal, new.number_of_repayments) == ("draft", 100_000, 10)
    old_page = client.get(url_of(MODEL, "change", running.pk)).content.decode()
    assert f'Paid off by</span> <a class="text-link" href="{url_of(MODEL, "change", new.pk)}' in (
        old_page
    )
    new_page = client.get(url_of(MODEL, "change", new.pk)).content.decode()
    assert "Pays off</span>" in new_page


def test_tranches_are_planned_on_the_draft_and_paid_by_the_cashier(
    as_staff, njeri, kamau, monkeypatch
):
    loan = factories.draft()
    page = url_of(MODEL, "change", loan.pk)
    form = {
        "principal": "100000", "number_of_repayments": "12", "rate": "24", "principal_grace": "0",
        "interest_grace": "0", "grace_interest": "billed",
    }  # fmt: skip
    for name in ("fees", "guarantors", "collateral", "tranches"):
        form |= {f"{name}-TOTAL_FORMS": "0", f"{name}-INITIAL_FORMS": "0"}
    form |= {"tranches-TOTAL_FORMS": "1", "tranches-0-planned_on": "2026-06-01"}

    answered = as_staff(njeri).post(page, form | {"tranches-0-amount": "100000"})
    assert "must leave a first part" in answered.content.decode()
    as_staff(njeri).post(page, form | {"tranches-0-amount": "40000"})
    assert Tranche.objects.get().amount == 40_000

    lifecycle.submit(loan, by=njeri, on=TODAY)
    lifecycle.approve(loan, by=kamau, on=TODAY)
    client = as_staff(factories.mutua())
    answer(client, MODEL, "disburse", loan.pk, on="2026-04-20", method="cash")
    assert Payout.objects.get().amount == 60_000
    paid = answer(client, MODEL, "pay_tranche", loan.pk, on="2026-04-20", method="cash")
    assert "after the first part" in paid.content.decode()
    monkeypatch.setattr(dates, "today", lambda: date(2026, 6, 1))
    shown = would(client, loan, "pay_tranche", on="2026-06-01", method="cash")
    assert "<table" in shown
    assert went_through(
        answer(client, MODEL, "pay_tranche", loan.pk, on="2026-06-01", method="cash")
    )
    loan.refresh_from_db()
    assert loan.undisbursed == 0
    prove()
