"""The instalments: the list, and what is waived, cancelled, charged, added and changed on it."""

from datetime import date
from decimal import Decimal

import pytest
from django.contrib.auth.models import Permission

from lms import dates
from lms.loans.models import Loan, Penalty, Repayment, Waiver
from lms.loans.operations import relief
from lms.payments.models import Payment
from lms.routing import take
from tests import books, factories
from tests.backoffice.pages import (
    MOST_QUERIES,
    answer,
    ask,
    queries_of,
    url_of,
    went_through,
)

MODEL = "loans.repayment"
TODAY = date(2026, 3, 20)
REASON = {"reason": "Flood in the market"}


@pytest.fixture(autouse=True)
def _today(monkeypatch):
    monkeypatch.setattr(dates, "today", lambda: TODAY)


@pytest.fixture
def row(loan) -> Repayment:
    """The first instalment, due on 15 February: 2,000 of interest and 7,456 of principal."""
    return loan.repayments.get(number=1)


def tell(response) -> str:
    return response.content.decode()


def pay(loan: Loan, amount: str, reference: str = "UKL7AB12CD") -> Payment:
    return take(
        account=loan.number,
        method="mpesa",
        amount=Decimal(amount),
        reference=reference,
        value_date=TODAY,
        by=factories.mutua(),
        on=TODAY,
    )


# --- Waive ---------------------------------------------------------------------------------------
def test_asking_to_waive_shows_what_is_owed_and_changes_nothing(as_staff, kamau, row):
    page = tell(ask(as_staff(kamau), MODEL, "waive", row.pk))

    assert "owed are principal KES 7,456.00, interest KES 2,000.00." in page
    assert Waiver.objects.count() == 0


def test_an_amount_is_waived_once_an_answer(as_staff, kamau, row):
    response = answer(
        as_staff(kamau), MODEL, "waive", row.pk, amount="500", component="interest", **REASON
    )

    assert went_through(response)
    waiver = Waiver.objects.get()
    assert (waiver.amount, waiver.component, waiver.waived_by) == (500, "interest", kamau)
    books.prove()


def test_an_empty_amount_waives_all_that_was_chosen(as_staff, kamau, row):
    client = as_staff(kamau)
    answer(client, MODEL, "waive", row.pk, component="charges", **REASON)
    row.refresh_from_db()
    assert (row.interest_waived, row.principal_waived) == (2000, 0)

    answer(client, MODEL, "waive", row.pk, component="everything", **REASON)
    row.refresh_from_db()
    assert row.status == Repayment.Status.WAIVED
    books.prove()


def test_waiving_too_much_is_refused_in_the_dialog(as_staff, kamau, row):
    refused = answer(
        as_staff(kamau), MODEL, "waive", row.pk, amount="2000.01", component="interest", **REASON
    )

    assert "Only KES 2,000.00 of interest is owed." in tell(refused)
    assert Waiver.objects.count() == 0


def test_a_paid_repayment_answers_that_it_is_paid(as_staff, kamau, loan, row):
    pay(loan, "9456")
    client = as_staff(kamau)

    waived = answer(client, MODEL, "waive", row.pk, component="charges", **REASON)
    cancelled = answer(client, MODEL, "cancel", row.pk, **REASON)

    assert "Repayment is already paid." in tell(waived)
    assert "Repayment is already paid." in tell(cancelled)


def test_principal_is_waived_only_by_those_who_may_book_a_loss(as_staff, kamau, row):
    kamau.groups.clear()
    names = ["view_repayment", "waive_repayment"]
    kamau.user_permissions.set(Permission.objects.filter(codename__in=names))
    client = as_staff(type(kamau).objects.get(pk=kamau.pk))

    page = tell(ask(client, MODEL, "waive", row.pk))
    forged = answer(client, MODEL, "waive", row.pk, component="everything", **REASON)

    assert 'value="everything"' not in page
    assert not went_through(forged)
    assert Waiver.objects.count() == 0


def test_a_reason_is_mandatory(as_staff, kamau, row):
    client = as_staff(kamau)

    assert not went_through(answer(client, MODEL, "waive", row.pk, component="charges"))
    assert not went_through(answer(client, MODEL, "cancel", row.pk, reason="  "))
    row.refresh_from_db()
    assert row.status == Repayment.Status.PENDING


# --- Cancel and charge ---------------------------------------------------------------------------
def test_cancelling_asks_first_and_acts_once(as_staff, kamau, row):
    client = as_staff(kamau)
    assert ask(client, MODEL, "cancel", row.pk).status_code == 200
    row.refresh_from_db()
    assert row.status == Repayment.Status.PENDING

    assert went_through(answer(client, MODEL, "cancel", row.pk, **REASON))
    again = answer(client, MODEL, "cancel", row.pk, **REASON)

    row.refresh_from_db()
    assert row.status == Repayment.Status.CANCELLED
    assert "Repayment is already cancelled." in tell(again)
    books.prove()


def test_a_penalty_is_charged_by_hand_on_what_is_overdue(as_staff, kamau, loan, row):
    client = as_staff(kamau)
    later = loan.repayments.get(number=3)
    answers = {"amount": "250", "rule": "Field visit"}

    assert went_through(answer(client, MODEL, "charge_penalty", row.pk, **answers))
    refused = answer(client, MODEL, "charge_penalty", later.pk, **answers)

    assert Penalty.objects.get().amount == 250
    assert "is not overdue on 20 Mar 2026." in tell(refused)
    assert "/charge_penalty/" in tell(client.get(url_of(MODEL, "change", row.pk)))
    assert "/charge_penalty/" not in tell(client.get(url_of(MODEL, "change", later.pk)))
    books.prove()


@pytest.mark.parametrize(
    ("verb", "answers"),
    [
        ("waive", {"component": "charges", **REASON}),
        ("cancel", REASON),
        ("charge_penalty", {"amount": "250", "rule": "Field visit"}),
    ],
)
def test_without_the_permission_an_action_is_neither_offered_nor_taken(
    as_staff, njeri, row, verb, answers
):
    client = as_staff(njeri)

    assert ask(client, MODEL, verb, row.pk).status_code == 403
    assert answer(client, MODEL, verb, row.pk, **answers).status_code == 403
    for page in (url_of(MODEL, "change", row.pk), url_of(MODEL, "changelist")):
        assert f"/{verb}/" not in tell(client.get(page))
    row.refresh_from_db()
    assert (row.status, row.amount_waived, row.penalties) == ("pending", 0, 0)


# --- Many at once --------------------------------------------------------------------------------
def select(client, verb: str, keys, **answers):
    return client.post(
        url_of(MODEL, "changelist"), {"action": verb, "_selected_action": keys, **answers}
    )


def test_many_are_waived_after_one_question(as_staff, kamau, loan):
    keys = list(loan.repayments.filter(number__lte=2).values_list("pk", flat=True))
    client = as_staff(kamau)

    asked = select(client, "waive_selected", keys)
    assert f"{loan.number} instalment 1" in tell(asked)
    assert Waiver.objects.count() == 0

    select(client, "waive_selected", keys, answered="1", _form_submitted="on",
           component="interest", **REASON)  # fmt: skip
    assert Waiver.objects.count() == 2
    books.prove()


def test_of_many_none_is_cancelled_when_one_is_paid(as_staff, kamau, loan):
    pay(loan, "9456")
    keys = list(loan.repayments.filter(number__lte=2).values_list("pk", flat=True))

    response = select(
        as_staff(kamau), "cancel_selected", keys, answered="1", _form_submitted="on", **REASON
    )

    page = tell(response)
    assert "Repayment is already paid. Nothing was cancelled." in page
    assert not loan.repayments.filter(status="cancelled").exists()


def test_bulk_actions_are_for_those_who_may(as_staff, njeri, loan):
    keys = list(loan.repayments.values_list("pk", flat=True))

    select(as_staff(njeri), "cancel_selected", keys, answered="1", _form_submitted="on", **REASON)

    assert not loan.repayments.filter(status="cancelled").exists()


# --- Add and change ------------------------------------------------------------------------------
def test_an_untouched_instalment_is_changed_through_the_operation(as_staff, kamau, loan, row):
    typed = {"due_date": "2026-02-20", "principal": "7456", "interest": "1500", "fees": "100"}
    client = as_staff(kamau)

    without = client.post(url_of(MODEL, "change", row.pk), typed)
    assert "This field is required." in tell(without)
    client.post(url_of(MODEL, "change", row.pk), typed | REASON)

    row.refresh_from_db()
    assert (row.due_date, row.interest, row.fees) == (date(2026, 2, 20), 1500, 100)
    latest = row.history.first()
    assert (latest.history_user, latest.history_change_reason) == (kamau, "Flood in the market")
    assert row.history.count() == 2
    books.prove()


def test_a_refused_change_is_shown_at_its_field_and_moves_nothing(as_staff, kamau, row):
    typed = {"due_date": "2026-04-20", "principal": "7456", "interest": "2000", "fees": "0"}

    page = tell(as_staff(kamau).post(url_of(MODEL, "change", row.pk), typed | REASON))

    assert "Due dates follow the numbers" in page
    row.refresh_from_db()
    assert row.due_date == date(2026, 2, 15)


def test_what_was_paid_on_is_no_longer_edited(as_staff, kamau, loan, row):
    pay(loan, "100")
    client = as_staff(kamau)

    assert 'name="reason"' not in tell(client.get(url_of(MODEL, "change", row.pk)))
    assert client.post(url_of(MODEL, "change", row.pk), REASON).status_code == 403


def test_an_instalment_is_added_for_principal_that_waits(as_staff, kamau, loan):
    for row in loan.repayments.order_by("number"):
        relief.cancel(row, reason="New plan", by=kamau, on=TODAY)
    typed = {"loan": loan.pk, "number": "13", "due_date": "2027-02-15", "interest": "0",
             "fees": "0", **REASON}  # fmt: skip
    client = as_staff(kamau)

    refused = client.post(url_of(MODEL, "add"), typed | {"principal": "100000.01"})
    assert "more principal on its instalments than was lent" in tell(refused)
    assert loan.repayments.count() == 12
    client.post(url_of(MODEL, "add"), typed | {"principal": "100000"})

    assert loan.repayments.get(number=13).principal == 100_000
    books.prove()


def test_adding_is_for_those_who_may(as_staff, njeri, loan):
    assert as_staff(njeri).get(url_of(MODEL, "add")).status_code == 403


# --- The list ------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("state", "numbers"),
    [
        ("overdue", {2}),
        ("completed", {1}),
        ("partial", set()),
        ("pending", set(range(3, 12))),
        ("cancelled", {12}),
        ("waived", set()),
    ],
)
def test_the_status_filter_knows_what_is_overdue_today(as_staff, kamau, loan, state, numbers):
    pay(loan, "9556")  # the first, and a part of the second, which is late all the same
    last = loan.repayments.get(number=12)
    relief.cancel(last, reason="Agreed", by=kamau, on=TODAY)

    response = as_staff(kamau).get(url_of(MODEL, "changelist"), {"state": state})

    assert {row.number for row in response.context["cl"].queryset} == numbers


@pytest.mark.parametrize(
    ("due", "today", "numbers"),
    [
        ("today", date(2026, 4, 15), {3}),
        ("tomorrow", date(2026, 4, 14), {3}),
        ("week", date(2026, 4, 19), {3}),
        ("week", date(2026, 4, 20), set()),
        ("7-days", date(2026, 4, 8), {3}),
        ("overdue", date(2026, 4, 15), {1, 2}),
    ],
)
def test_the_due_filter_reads_the_calendar(as_staff, kamau, loan, monkeypatch, due, today, numbers):
    monkeypatch.setattr(dates, "today", lambda: today)

    response = as_staff(kamau).get(url_of(MODEL, "changelist"), {"due": due})

    assert {row.number for row in response.context["cl"].queryset} == numbers


@pytest.mark.parametrize(
    ("term", "rows"),
    [
        ("LN{loan}", 12),
        ("0712345678", 12),
        ("12345678", 12),
        ("Wanjiku", 12),
        ("ukl7ab12cd", 2),
        ("RC{payment}", 2),
        ("0799 999 999", 0),
        ("nobody", 0),
    ],
)
def test_instalments_are_found_by_loan_customer_and_receipt(as_staff, kamau, loan, term, rows):
    factories.active(customer=factories.otieno())
    payment = pay(loan, "10000")

    response = as_staff(kamau).get(
        url_of(MODEL, "changelist"), {"q": term.format(loan=loan.pk, payment=payment.pk)}
    )

    found = list(response.context["cl"].queryset)
    assert len(found) == rows
    assert {row.loan_id for row in found} <= {loan.pk}


def test_the_totals_are_of_the_whole_filter(as_staff, kamau, loan):
    pay(loan, "9456")
    client = as_staff(kamau)

    page = tell(client.get(url_of(MODEL, "totals"), {"state": "overdue"}))
    listed = tell(client.get(url_of(MODEL, "changelist"), {"state": "overdue"}))

    assert "KES 9,456.00" in page
    assert f"{url_of(MODEL, 'totals')}?state=overdue" in listed


def test_the_pages_take_as_many_queries_for_one_loan_as_for_three(as_staff, kamau, loan, row):
    pay(loan, "9000")
    client = as_staff(kamau)
    pages = [
        url_of(MODEL, "changelist"),
        url_of(MODEL, "changelist") + "?q=wanjiku",
        url_of(MODEL, "totals"),
        url_of(MODEL, "change", row.pk),
        *(url_of(f"loans.{name}", "changelist") for name in ("penalty", "waiver", "allocation")),
    ]
    one = [queries_of(client, page) for page in pages]

    for number in range(2):
        person = factories.customer("Wanjiku Kimani", f"25472300010{number}")
        other = factories.active(customer=person)
        pay(other, "9000", reference=f"UKL7AB12C{number}")
        relief.waive(other.repayments.get(number=1), amount=None, component=None,
                     reason="Flood", by=kamau, on=TODAY)  # fmt: skip

    assert [queries_of(client, page) for page in pages] == one
    assert max(one) <= MOST_QUERIES


def test_staff_of_another_branch_see_and_touch_nothing(as_staff, loan, row):
    pay(loan, "9000")
    kisumu = factories.staff("akinyi", "Manager", branch=factories.branch("KSM", "Kisumu"))
    client = as_staff(kisumu)

    for name in ("repayment", "penalty", "waiver", "allocation"):
        page = client.get(url_of(f"loans.{name}", "changelist"))
        assert page.context["cl"].queryset.count() == 0
    assert (
        client.get(url_of(MODEL, "changelist"), {"q": "UKL7AB12CD"}).context["cl"].result_count == 0
    )
    assert answer(client, MODEL, "cancel", row.pk, **REASON).status_code == 404


def test_the_export_writes_what_the_filter_shows(as_staff, kamau, loan):
    response = as_staff(kamau).get(url_of(MODEL, "export"))

    assert response.status_code == 200
