"""The loan: its list, its application with the live preview, its actions and its story."""

import re
from datetime import date, timedelta
from decimal import Decimal

import pytest

from lms import dates
from lms.loans.models import (
    EligibilityRule,
    Guarantor,
    Loan,
    LoanFee,
    LoanProduct,
    Position,
    ProductVersion,
    Repayment,
)
from lms.loans.operations import lifecycle, offers, relief
from lms.notifications.models import Message
from lms.payments.models import Payment, Payout
from tests import books, factories
from tests.backoffice.pages import (
    MOST_QUERIES,
    answer,
    ask,
    queries_of,
    url_of,
    went_through,
)

MODEL = "loans.loan"
TODAY = date(2026, 3, 20)


@pytest.fixture(autouse=True)
def _today(monkeypatch):
    monkeypatch.setattr(dates, "today", lambda: TODAY)


@pytest.fixture
def product(db) -> LoanProduct:
    return factories.product(
        fees=[
            {
                "name": "Processing",
                "kind": "percent",
                "value": Decimal(2),
                "when": "deducted",
                "excise_rate": Decimal(20),
            }
        ]
    )


@pytest.fixture
def form(product, wanjiku) -> dict:
    return {
        "customer": wanjiku.pk,
        "product": product.pk,
        "principal": "50000",
        "number_of_repayments": "6",
        "rate": "24",
        "principal_grace": "0",
        "interest_grace": "0",
        "grace_interest": "billed",
        "purpose": "Stock",
    }


def tell(response) -> str:
    return response.content.decode()


def counts() -> tuple[int, ...]:
    return tuple(model.objects.count() for model in (Loan, LoanFee, Repayment, Payment, Payout))


# --- Application ---------------------------------------------------------------------------------
def test_the_preview_shows_price_and_every_instalment_and_stores_nothing(as_staff, njeri, form):
    page = tell(as_staff(njeri).post(url_of(MODEL, "preview"), form))

    assert "24% a year" in page
    assert "KES 48,800.00" in page  # less 2% and 20% excise on it
    assert len(re.findall(r"<td>\d+</td><td class=\"whitespace-nowrap\">", page)) == 6
    assert "20 Apr 2026" in page
    assert counts() == (0, 0, 0, 0, 0)


def test_the_preview_warns_of_coarse_rounding_and_shows_capitalised_interest(as_staff, njeri):
    product = factories.product(
        instalment_multiple="50", principal_grace=2, interest_grace=2, grace_interest="capitalised"
    )
    loan = factories.draft(Decimal(1_000), product=product)

    page = tell(as_staff(njeri).get(url_of(MODEL, "preview_of", loan.pk)))

    assert 'Interest added to the principal</dt><dd class="text-important">KES 40.00' in page
    assert "the last instalment would be KES" in page


def test_the_preview_needs_no_customer_yet(as_staff, njeri, form):
    page = tell(as_staff(njeri).post(url_of(MODEL, "preview"), form | {"customer": ""}))

    assert "APR" in page
    assert "KES 48,800.00" in page


def test_the_preview_says_how_the_rules_of_the_product_stand(as_staff, njeri, form, wanjiku):
    rules = (("kyc", None, True), ("score", 100, True), ("min_age", 18, False))
    version = ProductVersion.objects.get()
    EligibilityRule.objects.bulk_create(
        EligibilityRule(version=version, kind=kind, limit=limit, is_hard=is_hard)
        for kind, limit, is_hard in rules
    )
    wanjiku.score_limit = Decimal(40_000)
    wanjiku.save()
    client = as_staff(njeri)
    assert "Eligibility" not in tell(client.post(url_of(MODEL, "preview"), form | {"customer": ""}))

    page = tell(client.post(url_of(MODEL, "preview"), form))

    assert "KYC complete: Wanjiku Mwangi is verified." in page
    assert (
        "KES 50,000.00 is 125% of the score limit of KES 40,000.00, 25 points above 100%." in page
    )
    assert "Minimum age: fill in the date of birth of Wanjiku Mwangi." in page
    assert [page.count(word) for word in ("Passed", "Refused", "Warning")] == [1, 1, 1]


def test_the_dialogs_of_submitting_and_approving_show_the_rules(as_staff, njeri, product):
    EligibilityRule.objects.bulk_create(
        [EligibilityRule(version=product.versions.get(), kind="min_age", limit=18)]
    )
    loan = factories.draft(product=product, on=TODAY)
    client = as_staff(njeri)
    sentence = "Minimum age: fill in the date of birth of Wanjiku Mwangi."
    assert sentence in tell(ask(client, MODEL, "submit", loan.pk))

    refused = answer(client, MODEL, "submit", loan.pk)

    assert not went_through(refused)
    assert tell(refused).count(sentence) == 2


def test_a_draft_on_ended_terms_takes_the_current_ones(as_staff, njeri, product):
    loan = factories.draft(product=product, on=TODAY)
    client = as_staff(njeri)
    page = url_of(MODEL, "change", loan.pk)
    assert "Take the current terms" not in tell(client.get(page))
    version = offers.new_version(product, by=njeri, on=TODAY)
    version.rate = Decimal(30)
    version.save()
    ProductVersion.objects.filter(number=1).update(ends_on=TODAY - timedelta(days=1))
    ProductVersion.objects.filter(number=2).update(
        status="approved", starts_on=TODAY, approval_reference="BRD/7"
    )
    assert "Take the current terms" in tell(client.get(page))
    assert "today it costs 30% a year" in tell(ask(client, MODEL, "take_current_terms", loan.pk))

    assert went_through(answer(client, MODEL, "take_current_terms", loan.pk))

    loan.refresh_from_db()
    assert (loan.version.number, loan.rate) == (2, Decimal(30))


@pytest.mark.parametrize(
    ("typed", "sentence"),
    [
        (
            {"principal": "500"},
            "Amount (KES): Biashara loan lends KES 1,000.00 to KES 1,000,000.00.",
        ),
        ({"number_of_repayments": "60"}, "Biashara loan takes 1 to 52 repayments."),
        ({"rate": "401"}, "Biashara loan is priced 0% to 400% a year."),
        ({"first_due": "2026-03-20"}, "The first instalment falls due after the disbursement."),
    ],
)
def test_the_preview_says_what_is_outside_the_limits(as_staff, njeri, form, typed, sentence):
    page = tell(as_staff(njeri).post(url_of(MODEL, "preview"), form | typed))

    assert sentence in page
    assert "<table" not in page


def test_choosing_a_product_fills_in_its_terms(as_staff, njeri, product):
    response = as_staff(njeri).get(url_of(MODEL, "terms"), {"product": product.pk})

    assert response["HX-Trigger-After-Settle"] == "terms"
    assert re.search(r'name="number_of_repayments" value="12"[^>]*hx-swap-oob', tell(response))


def test_an_application_is_saved_as_a_draft_with_the_terms_and_fees_of_its_product(
    as_staff, njeri, form
):
    response = as_staff(njeri).post(url_of(MODEL, "add"), form)

    loan = Loan.objects.get()
    assert response.headers["Location"] == url_of(MODEL, "change", loan.pk)
    assert (loan.status, loan.created_by, loan.applied_on) == ("draft", njeri, TODAY)
    assert loan.branch == loan.customer.branch
    assert (loan.number_of_repayments, loan.rate_period) == (6, "year")
    assert [fee.name for fee in loan.fees.all()] == ["Processing"]
    assert loan.history.get().history_user == njeri


def test_an_application_outside_the_limits_is_not_saved(as_staff, njeri, form):
    response = as_staff(njeri).post(url_of(MODEL, "add"), form | {"principal": "500"})

    assert "Biashara loan lends KES 1,000.00" in tell(response)
    assert Loan.objects.count() == 0


def draft_form(form: dict, **typed) -> dict:
    """The form of a saved draft, without rows beside it."""
    empty = {
        f"{name}-{what}_FORMS": "0"
        for name in ("fees", "tranches", "guarantors", "collateral")
        for what in ("TOTAL", "INITIAL")
    }
    kept = {key: value for key, value in form.items() if key not in ("customer", "product")}
    return {**kept, **empty, **typed}


def test_a_draft_is_changed_and_a_submitted_loan_keeps_its_terms(as_staff, njeri, form):
    loan = factories.draft(Decimal(50_000))
    client = as_staff(njeri)

    client.post(url_of(MODEL, "change", loan.pk), draft_form(form, principal="40000"))
    loan.refresh_from_db()
    assert loan.principal == 40_000

    lifecycle.submit(loan, by=njeri, on=TODAY)
    client.post(url_of(MODEL, "change", loan.pk), draft_form(form, principal="30000"))
    loan.refresh_from_db()
    assert loan.principal == 40_000


def test_an_approved_loan_is_not_written_at_all(as_staff, njeri, form):
    loan = factories.approved(on=TODAY)

    response = as_staff(njeri).post(url_of(MODEL, "change", loan.pk), draft_form(form))

    assert response.status_code == 403


def guarantor(customer, **typed) -> dict:
    return {
        "guarantors-TOTAL_FORMS": "1",
        "guarantors-0-customer": customer.pk,
        "guarantors-0-amount": "20000",
        "guarantors-0-relationship": "Neighbour",
        **typed,
    }


def test_a_guarantor_is_written_beside_a_draft(as_staff, njeri, form):
    loan = factories.draft()

    as_staff(njeri).post(
        url_of(MODEL, "change", loan.pk), draft_form(form, **guarantor(factories.otieno()))
    )

    assert Guarantor.objects.get().loan == loan


@pytest.mark.parametrize(
    ("typed", "sentence"),
    [
        ({"guarantors-0-customer": "borrower"}, "The borrower cannot guarantee their own loan."),
        ({"guarantors-0-capacity": "15000"}, "KES 20,000.00 is KES 5,000.00 too much."),
    ],
)
def test_a_guarantor_is_someone_else_who_can_bear_it(as_staff, njeri, form, typed, sentence):
    loan = factories.draft()
    if "guarantors-0-customer" in typed:
        typed = {"guarantors-0-customer": loan.customer_id}

    response = as_staff(njeri).post(
        url_of(MODEL, "change", loan.pk), draft_form(form, **guarantor(factories.otieno(), **typed))
    )

    assert sentence in tell(response)
    assert Guarantor.objects.count() == 0


def test_who_has_consented_is_neither_changed_nor_removed_beside_the_draft(as_staff, njeri, form):
    loan = factories.draft()
    known = factories.guarantor(loan)
    rows = guarantor(
        factories.otieno(),
        **{
            "guarantors-INITIAL_FORMS": "1",
            "guarantors-0-id": known.pk,
            "guarantors-0-loan": loan.pk,
            "guarantors-0-amount": "1",
        },
    )
    client = as_staff(njeri)

    client.post(url_of(MODEL, "change", loan.pk), draft_form(form, **rows))
    removed = client.post(
        url_of(MODEL, "change", loan.pk),
        draft_form(form, **rows, **{"guarantors-0-DELETE": "on"}),
    )

    assert Guarantor.objects.get().amount == 20_000
    assert "Otieno Ouma is consented: what was agreed stays on the record." in tell(removed)


def test_collateral_beside_a_draft_gets_its_first_valuation(as_staff, njeri, form):
    loan = factories.draft()
    row = {
        "kind": "vehicle", "description": "Toyota Probox", "serial": "KDA 123A",
        "owner": "borrower", "owner_name": "", "value": "80000", "valued_on": "2026-03-20",
        "forced_sale_percent": "70", "location": "",
    }  # fmt: skip

    as_staff(njeri).post(
        url_of(MODEL, "change", loan.pk),
        draft_form(
            form,
            **{"collateral-TOTAL_FORMS": "1"},
            **{f"collateral-0-{name}": value for name, value in row.items()},
        ),
    )

    valuation = loan.collateral.get().valuations.get()
    assert (valuation.value, valuation.recorded_by) == (80_000, njeri)


# --- Actions -------------------------------------------------------------------------------------
def waiting_for(verb: str) -> Loan:
    """A loan in the state in which the action makes sense."""
    if verb == "submit":
        return factories.draft()
    if verb in ("approve", "send_back", "reject", "withdraw"):
        return lifecycle.submit(factories.draft(), by=factories.njeri(), on=factories.DAY)
    if verb == "disburse":
        return factories.approved(on=TODAY)
    return factories.active()


ACTIONS = [
    ("submit", "njeri", {}, "submitted"),
    ("approve", "kamau", {}, "approved"),
    ("reject", "kamau", {"reason": "Too much debt"}, "rejected"),
    ("send_back", "kamau", {"reason": "Photo missing"}, "draft"),
    ("withdraw", "njeri", {"reason": "Found money"}, "withdrawn"),
    ("disburse", "mutua", {"method": "cash", "on": "2026-03-20"}, "active"),
]


@pytest.mark.parametrize(("verb", "who", "answers", "status"), ACTIONS)
def test_asking_changes_nothing_and_answering_acts_once(
    as_staff, request, verb, who, answers, status
):
    client = as_staff(request.getfixturevalue(who))
    loan = waiting_for(verb)
    before = loan.status, counts()

    asked = ask(client, MODEL, verb, loan.pk)
    loan.refresh_from_db()
    assert asked.status_code == 200
    assert (loan.status, counts()) == before

    assert went_through(answer(client, MODEL, verb, loan.pk, **answers))
    loan.refresh_from_db()
    assert loan.status == status

    again = answer(client, MODEL, verb, loan.pk, **answers)
    assert not went_through(again)
    assert loan.number in tell(again)


@pytest.mark.parametrize(
    ("verb", "answers"),
    [(verb, answers) for verb, _, answers, _ in ACTIONS]
    + [
        ("take_payment", {"amount": "100", "method": "cash", "value_date": "2026-03-20"}),
        ("apply_credit", {}),
        ("close", {}),
        ("add_instalment", {"number": "13", "due_date": "2027-02-15", "reason": "x"}),
    ],
)
def test_without_the_permission_an_action_is_neither_offered_nor_taken(
    as_staff, achieng, verb, answers
):
    loan = waiting_for(verb)
    client = as_staff(achieng)
    before = loan.status, counts()

    assert ask(client, MODEL, verb, loan.pk).status_code == 403
    assert answer(client, MODEL, verb, loan.pk, **answers).status_code == 403
    assert f"/{verb}/" not in tell(client.get(url_of(MODEL, "change", loan.pk)))
    assert f"/{verb}/" not in tell(client.get(url_of(MODEL, "changelist")))
    loan.refresh_from_db()
    assert (loan.status, counts()) == before


def test_what_the_state_does_not_allow_is_not_offered_and_answers_why(as_staff, kamau):
    loan = factories.active()
    client = as_staff(kamau)

    page = tell(client.get(url_of(MODEL, "change", loan.pk)))
    refused = tell(answer(client, MODEL, "approve", loan.pk))

    assert "/approve/" not in page
    assert "/take_payment/" in page
    assert f"{loan.number} is active, so it cannot become approved." in refused


def test_nobody_approves_their_own_work(as_staff, kamau):
    loan = factories.draft()
    lifecycle.submit(loan, by=kamau, on=factories.DAY)

    refused = tell(answer(as_staff(kamau), MODEL, "approve", loan.pk))

    assert f"You prepared {loan.number} yourself: someone else must approve it." in refused


def test_the_payout_dialog_shows_the_net_amount_and_refuses_tomorrow(as_staff, mutua, product):
    loan = factories.approved(on=TODAY, product=product)
    client = as_staff(mutua)

    asked = tell(ask(client, MODEL, "disburse", loan.pk))
    tomorrow = answer(client, MODEL, "disburse", loan.pk, method="cash", on="2026-03-21")

    assert "fees KES 2,000.00 and excise KES 400.00 are kept back" in asked
    assert "the customer receives KES 97,600.00" in asked
    assert "A loan cannot be paid out in the future." in tell(tomorrow)
    assert Payout.objects.count() == 0


def test_a_payment_is_prefilled_with_what_is_due_and_taken_once(as_staff, mutua, loan):
    client = as_staff(mutua)
    asked = tell(ask(client, MODEL, "take_payment", loan.pk))
    key = re.search(r'name="request_key" value="(\w+)"', asked)[1]
    due = sum((row.outstanding for row in loan.repayments.filter(due_date__lte=TODAY)), Decimal(0))
    assert f'value="{due}"' in asked
    answers = {"amount": "9456", "method": "cash", "value_date": "2026-03-20", "request_key": key}

    first = answer(client, MODEL, "take_payment", loan.pk, **answers)
    second = answer(client, MODEL, "take_payment", loan.pk, **answers)

    assert went_through(first)
    assert went_through(second)
    assert Payment.objects.get().allocated == 9456
    assert [message.occasion for message in Message.objects.all()] == ["payment_received"]
    books.prove()


def test_fees_that_come_first_are_taken_from_the_page_of_the_approved_loan(as_staff, mutua):
    fee = {"name": "Appraisal", "kind": "amount", "value": Decimal(500), "when": "paid_before"}
    loan = factories.approved(product=factories.product(fees=[fee]), on=TODAY)
    client = as_staff(mutua)
    page = url_of(MODEL, "change", loan.pk)
    warned = tell(client.get(page))
    asked = tell(ask(client, MODEL, "take_payment", loan.pk))
    too_soon = answer(client, MODEL, "disburse", loan.pk, method="cash", on="2026-03-20")

    answers = {"amount": "600", "method": "cash", "value_date": "2026-03-20", "request_key": "a"}
    taken = answer(client, MODEL, "take_payment", loan.pk, **answers)

    assert "KES 600.00 of fees must be paid before this loan is paid out." in warned
    assert 'value="600.00"' in asked
    assert "KES 600.00 of fees must be paid before LN" in tell(too_soon)
    assert went_through(taken)
    payment = Payment.objects.get()
    assert payment.allocated == Decimal(600)
    after = tell(client.get(page))
    assert "KES 600.00 of KES 600.00" in after
    assert "/take_payment/" not in after
    assert "excise duty 100.00" in tell(client.get(url_of(MODEL, "part", loan.pk, "payments")))
    receipt = tell(client.get(url_of("payments.payment", "change", payment.pk)))
    assert "with KES 100.00 of excise duty" in receipt
    again = answer(client, MODEL, "disburse", loan.pk, method="cash", on="2026-03-20")
    assert went_through(again)
    books.prove()


def test_a_form_changed_and_sent_again_is_no_second_payment_and_says_so(as_staff, mutua, loan):
    client = as_staff(mutua)
    answers = {"method": "cash", "value_date": "2026-03-20", "request_key": "one"}
    answer(client, MODEL, "take_payment", loan.pk, amount="9456", **answers)

    second = answer(client, MODEL, "take_payment", loan.pk, amount="500", **answers)

    payment = Payment.objects.get()
    assert f"This form was sent before, as {payment.number} · KES 9,456.00." in tell(second)


def test_a_used_reference_is_refused_beside_its_field(as_staff, mutua, loan):
    client = as_staff(mutua)
    answers = {
        "amount": "100",
        "method": "mpesa",
        "reference": "UKL7AB12CD",
        "value_date": "2026-03-20",
    }
    answer(client, MODEL, "take_payment", loan.pk, **answers, request_key="a")

    refused = answer(client, MODEL, "take_payment", loan.pk, **answers, request_key="b")

    assert "M-Pesa reference UKL7AB12CD was posted already" in tell(refused)
    assert Payment.objects.count() == 1


def test_a_loan_that_was_never_paid_out_takes_no_payment(as_staff, mutua):
    loan = factories.draft()

    refused = answer(
        as_staff(mutua), MODEL, "take_payment", loan.pk,
        amount="100", method="cash", value_date="2026-03-20", request_key="a",
    )  # fmt: skip

    assert f"{loan.number} is draft: only a disbursed loan can be paid." in tell(refused)
    assert Payment.objects.count() == 0


def test_credit_pays_what_is_due(as_staff, mutua, loan, monkeypatch):
    client = as_staff(mutua)
    assert "Wanjiku Mwangi has no credit." in tell(answer(client, MODEL, "apply_credit", loan.pk))
    Loan.objects.filter(pk=loan.pk).update(surplus="credit")
    for row in loan.repayments.filter(due_date__lte=TODAY):
        owed = row.outstanding
    answer(
        client, MODEL, "take_payment", loan.pk,
        amount=str(owed * 3), method="cash", value_date="2026-03-15", request_key="a",
    )  # fmt: skip
    assert Payment.objects.get().credited == owed
    monkeypatch.setattr(dates, "today", lambda: date(2026, 4, 15))

    assert went_through(answer(client, MODEL, "apply_credit", loan.pk))

    assert Payment.objects.get().credited == 0
    books.prove()


def test_closing_says_what_is_still_owed(as_staff, kamau, loan):
    refused = tell(answer(as_staff(kamau), MODEL, "close", loan.pk))

    assert f"is still owed on {loan.number}" in refused


def test_principal_on_no_instalment_is_warned_of_and_can_be_scheduled(as_staff, kamau, loan):
    last = loan.repayments.order_by("number").last()
    for row in loan.repayments.order_by("number"):
        relief.cancel(row, reason="Rescheduled", by=kamau, on=factories.DAY)
    client = as_staff(kamau)
    page = tell(client.get(url_of(MODEL, "change", loan.pk)))
    assert "KES 100,000.00 of principal stands on no instalment" in page
    assert 'value="100000.00"' in tell(ask(client, MODEL, "add_instalment", loan.pk))
    answers = {"number": str(last.number + 1), "due_date": "2027-02-15", "reason": "New plan"}

    too_much = answer(
        client, MODEL, "add_instalment", loan.pk, **answers, principal="100001", interest=""
    )
    done = answer(client, MODEL, "add_instalment", loan.pk, **answers, principal="100000")

    assert "more principal on its instalments than was lent" in tell(too_much)
    assert went_through(done)
    assert Position.objects.get(pk=loan.pk).unscheduled == 0
    books.prove()


# --- Lists and pages -----------------------------------------------------------------------------
def more_loans() -> None:
    for number in range(2):
        factories.active(customer=factories.customer("Baraka Kimani", f"25472300010{number}"))


def test_the_list_takes_as_many_queries_for_one_loan_as_for_three(as_staff, kamau, loan):
    client = as_staff(kamau)
    pages = [url_of(MODEL, "changelist"), url_of(MODEL, "totals"), url_of(MODEL, "change", loan.pk)]

    one = [queries_of(client, page) for page in pages]
    more_loans()
    three = [queries_of(client, page) for page in pages]

    assert one == three
    assert max(one) <= MOST_QUERIES


@pytest.mark.parametrize("part", ["schedule", "payments", "relief", "books", "messages"])
def test_each_tab_tells_its_part_in_a_constant_number_of_queries(
    as_staff, kamau, mutua, loan, part
):
    client = as_staff(kamau)
    first = queries_of(client, url_of(MODEL, "part", loan.pk, part))
    row = loan.repayments.order_by("number").first()
    relief.waive(row, amount=Decimal(10), component="interest", reason="Flood", by=kamau, on=TODAY)
    for key in "abc":
        answer(
            as_staff(mutua), MODEL, "take_payment", loan.pk,
            amount="9000", method="cash", value_date="2026-03-20", request_key=key,
        )  # fmt: skip

    assert queries_of(as_staff(kamau), url_of(MODEL, "part", loan.pk, part)) - first in (0, 1)


def test_the_payments_tab_explains_where_each_shilling_went(as_staff, mutua, loan):
    client = as_staff(mutua)
    answer(
        client, MODEL, "take_payment", loan.pk,
        amount="10000", method="cash", value_date="2026-03-20", request_key="a",
    )  # fmt: skip

    page = tell(client.get(url_of(MODEL, "part", loan.pk, "payments")))

    assert "interest 2,000.00, principal 7,456.00" in " ".join(page.split())
    assert "RC0" in page


@pytest.mark.parametrize("term", ["0712 345 678", "12345678", "wanjiku", "LN{pk}", "ln-00{pk}"])
def test_a_loan_is_found_by_what_people_have_in_hand(as_staff, kamau, loan, term):
    factories.active(customer=factories.otieno())

    page = tell(as_staff(kamau).get(url_of(MODEL, "changelist"), {"q": term.format(pk=loan.pk)}))

    assert loan.number in page
    assert "Otieno Ouma" not in page


@pytest.mark.parametrize(
    ("bucket", "days", "is_in"),
    [("1-7", 7, True), ("1-7", 8, False), ("8-30", 8, True), ("31-60", 60, True),
     ("61-90", 91, False), ("90+", 91, True), ("90+", 90, False), ("any", 1, True),
     ("any", 0, False), ("over-30", 31, True), ("over-30", 30, False)],
)  # fmt: skip
def test_the_late_filter_counts_from_the_oldest_unpaid_due_date(
    as_staff, kamau, loan, bucket, days, is_in
):
    Position.objects.filter(pk=loan.pk).update(overdue_since=TODAY - timedelta(days=days))

    page = tell(as_staff(kamau).get(url_of(MODEL, "changelist"), {"late": bucket}))

    assert (loan.number in page) is is_in


def test_filters_narrow_the_list_and_its_totals(as_staff, kamau, loan):
    factories.draft(Decimal(5_000))
    client = as_staff(kamau)

    drafts = tell(client.get(url_of(MODEL, "changelist"), {"status": "draft"}))
    totals = tell(client.get(url_of(MODEL, "totals"), {"status": "draft"}))
    everything = tell(client.get(url_of(MODEL, "totals")))

    assert loan.number not in drafts
    assert "KES 5,000.00" in totals
    assert "KES 105,000.00" in everything
    assert "KES 18,912.00" in everything  # two instalments in arrears


def test_staff_of_another_branch_see_and_touch_nothing(as_staff, loan):
    kisumu = factories.staff("akinyi", "Manager", branch=factories.branch("KSM", "Kisumu"))
    client = as_staff(kisumu)

    assert loan.number not in tell(client.get(url_of(MODEL, "changelist")))
    assert client.get(url_of(MODEL, "part", loan.pk, "schedule")).status_code == 404
    assert client.get(url_of(MODEL, "preview_of", loan.pk)).status_code == 404
    assert answer(client, MODEL, "close", loan.pk).status_code == 404


def test_the_list_sorts_by_every_column_that_offers_it(as_staff, kamau, loan):
    client = as_staff(kamau)
    for column in range(12):
        for sign in ("", "-"):
            url = url_of(MODEL, "changelist")
            assert client.get(url, {"o": f"{sign}{column}"}).status_code == 200


def test_the_filter_is_exported(as_staff, kamau, loan):
    response = as_staff(kamau).get(url_of(MODEL, "export"))

    assert response.status_code == 200
