"""History of what is written in bulk: the same rows as saving one by one leaves."""

import pytest

from lms import history
from lms.loans.models import Repayment
from lms.payments.models import Payment
from tests import factories

pytestmark = pytest.mark.django_db
TOLD = {"history_id", "history_date", "history_type", "history_change_reason", "history_user_id"}


def copied(row) -> dict:
    """Return what the latest history row of a row says of its columns."""
    latest = type(row).history.filter(id=row.pk).order_by("-history_id").values().first()
    return {name: value for name, value in latest.items() if name not in TOLD}


def columns(row) -> dict:
    return type(row).objects.filter(pk=row.pk).values().get()


def test_a_changed_row_is_copied_as_the_database_holds_it():
    loan = factories.active()
    loan.purpose = "New stock"
    history.update([loan], ["purpose"], by=factories.kamau(), reason="Asked on the phone " * 9)
    latest = type(loan).history.filter(id=loan.pk).order_by("-history_id").first()
    assert copied(loan) == columns(loan)
    assert latest.purpose == "New stock"
    assert (latest.history_type, latest.history_user) == ("~", factories.kamau())
    assert latest.history_change_reason == ("Asked on the phone " * 9)[:100]


def test_fields_not_named_are_left_as_they_are():
    loan = factories.active()
    loan.purpose, loan.legacy_number = "New stock", "X-1"
    history.update([loan], ["purpose"], by=None, reason="")
    loan.refresh_from_db()
    assert (loan.purpose, loan.legacy_number) == ("New stock", None)


def test_every_new_row_gets_one_history_row():
    loan = factories.active()
    instalments = list(loan.repayments.all())
    for row in instalments:
        assert [old.history_type for old in Repayment.history.filter(id=row.pk)] == ["+"]
        assert copied(row) == columns(row)


def test_more_rows_than_go_in_one_statement(monkeypatch):
    monkeypatch.setattr(history, "AT_ONCE", 5)
    instalments = list(factories.active().repayments.all())
    history.keep(instalments, kind=history.CHANGED, by=None, reason="Counted")
    kept = Repayment.history.filter(history_change_reason="Counted", history_user=None)
    assert sorted(kept.values_list("id", flat=True)) == [row.pk for row in instalments]


def test_nothing_is_nothing():
    assert history.create([], by=None, reason="") == []
    history.keep([], kind=history.CHANGED, by=None, reason="")
    assert not Payment.history.exists()


def test_a_new_row_gets_its_key_and_counts_as_saved():
    loan = factories.active()
    rows = [
        Repayment(loan=loan, number=50 + step, version=9, due_date=loan.disbursed_on)
        for step in range(7)
    ]
    made = history.create(rows, by=factories.kamau(), reason="By hand")
    assert made == rows
    for row in rows:
        assert not row._state.adding
        assert columns(row)["number"] == row.number
        assert copied(row) == columns(row)
        latest = row.history.latest()
        assert (latest.history_user, latest.history_change_reason) == (factories.kamau(), "By hand")


def test_new_rows_beyond_one_statement_keep_their_keys(monkeypatch):
    monkeypatch.setattr(history, "MOST_PARAMETERS", 60)
    loan = factories.active()
    rows = [
        Repayment(loan=loan, number=50 + step, version=9, due_date=loan.disbursed_on)
        for step in range(7)
    ]
    history.create(rows, by=None, reason="")
    assert [columns(row)["number"] for row in rows] == [50 + step for step in range(7)]
    assert Repayment.history.filter(version=9).count() == 7


def test_many_changed_rows_are_written_with_a_history_row_each():
    rows = list(factories.active().repayments.all())
    for row in rows:
        row.fees = row.number
    history.update(rows, ["fees"], by=None, reason="Counted")
    for row in rows:
        assert copied(row) == columns(row)
        assert columns(row)["fees"] == row.number
