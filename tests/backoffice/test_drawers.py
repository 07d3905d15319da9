"""Drawers, transfers, banking and funds as cashiers and those who check them see them."""

from datetime import date
from decimal import Decimal

import pytest
from django.urls import reverse

from lms import dates
from lms.ledger import chart
from lms.payments.models import Payment
from lms.staff.models import Approval
from lms.tills.models import Banking, DrawerSession, FundsTransfer, TillTransfer
from lms.tills.operations import banking, drawers, funds, handovers
from tests import books, factories
from tests.backoffice.pages import MOST_QUERIES, answer, ask, queries_of, url_of, went_through

D = Decimal
DRAWER, TRANSFER = "tills.drawersession", "tills.tilltransfer"
BANKING, FUNDS = "tills.banking", "tills.fundstransfer"
TODAY = date(2026, 2, 15)


@pytest.fixture(autouse=True)
def _today(monkeypatch):
    monkeypatch.setattr(dates, "today", lambda: TODAY)


@pytest.fixture
def drawer(mutua):
    return factories.open_drawer(mutua, on=TODAY)


@pytest.fixture
def otieno(db):
    return factories.staff("otieno", "Cashier")


def tell(response) -> str:
    return response.content.decode()


# --- A cashier's day -----------------------------------------------------------------------------
def test_my_drawer_leads_to_the_opening_count_and_then_to_the_drawer(as_staff, mutua):
    factories.vault()
    client, mine = as_staff(mutua), reverse("admin:tills_drawersession_mine")
    assert client.get(mine).url == url_of(DRAWER, "add")
    assert "Notes of KES 1,000" in tell(client.get(url_of(DRAWER, "add")))

    client.post(url_of(DRAWER, "add"), {"of_1000": "4", "of_40": "5"})

    drawer = DrawerSession.objects.get()
    assert (drawer.cashier, drawer.branch, drawer.holds()) == (mutua, mutua.branch, D("4200.00"))
    assert client.get(mine).url == url_of(DRAWER, "change", drawer.pk)
    refused = client.post(url_of(DRAWER, "add"), {"of_1000": "1"})
    assert "close it before you open another" in tell(refused)


def test_a_float_that_the_vault_does_not_hold_is_refused_on_the_page(as_staff, mutua):
    answer = as_staff(mutua).post(url_of(DRAWER, "add"), {"of_1000": "100000"})

    assert "KES 100,000,000.00 is more than the KES 0.00 in the vault of Nairobi" in tell(answer)
    assert not DrawerSession.objects.exists()


def test_head_office_says_where_it_opens_its_drawer(as_staff):
    factories.vault()
    mwende = factories.staff("mwende", "Accountant", branch=None)

    as_staff(mwende).post(url_of(DRAWER, "add"), {"branch": factories.branch().pk, "of_50": "2"})

    assert DrawerSession.objects.get().branch == factories.branch()


def test_the_page_of_ones_own_open_drawer_keeps_the_count_blind(as_staff, drawer, mutua, kamau):
    drawers.add_float(drawer, amount=D("337.00"), key="a", by=mutua, on=TODAY)
    pages = [url_of(DRAWER, page, drawer.pk) for page in ("change", "sheet")]
    pages += [url_of(DRAWER, "changelist"), url_of(DRAWER, "count", drawer.pk)]

    own = [tell(as_staff(mutua).get(page)) for page in pages]
    others = [tell(as_staff(kamau).get(page)) for page in pages]

    assert ["5,337.00" in page for page in own] == [False] * 4
    assert ["5,337.00" in page for page in others] == [True, True, False, False]
    assert "X sheet" in others[1]


def test_closing_with_a_difference_waits_for_the_approver(as_staff, drawer, mutua, kamau):
    assert "Coins of KES 20" in tell(ask(as_staff(mutua), DRAWER, "count", drawer.pk))
    counted = answer(as_staff(mutua), DRAWER, "count", drawer.pk, of_1000="4", of_500="1", note="?")
    assert went_through(counted)
    drawer.refresh_from_db()
    assert (drawer.status, drawer.difference) == ("counted", D("-500.00"))
    assert answer(as_staff(mutua), DRAWER, "approve", drawer.pk).status_code == 403
    assert "KES 500.00 short" in tell(ask(as_staff(kamau), DRAWER, "approve", drawer.pk))

    assert went_through(answer(as_staff(kamau), DRAWER, "approve", drawer.pk, reason="Seen"))

    drawer.refresh_from_db()
    assert drawer.status == "closed"
    assert books.balances()[chart.CASH_SHORT] == D("500.00")
    sheet = tell(as_staff(mutua).get(url_of(DRAWER, "sheet", drawer.pk)))
    assert "Z sheet" in sheet
    assert "KES 4,500.00 counted, KES 500.00 short" in sheet
    assert "by Kamau" in sheet


def test_a_difference_is_approved_on_the_page_of_approvals_too(as_staff, drawer, mutua, kamau):
    drawers.count(drawer, pieces={1000: 6}, by=mutua, on=TODAY)
    approval = Approval.objects.get()

    assert went_through(answer(as_staff(kamau), "staff.approval", "approve", approval.pk))

    drawer.refresh_from_db()
    assert drawer.status == "closed"
    assert books.balances()[chart.CASH_OVER] == D("-1000.00")


def test_a_refused_count_stays_in_the_dialog(as_staff, drawer, mutua, otieno):
    handovers.send(drawer, recipient=otieno, amount=D(1), key="a", by=mutua, on=TODAY)

    refused = answer(as_staff(mutua), DRAWER, "count", drawer.pk, of_1000="5")

    assert not went_through(refused)
    assert "is not accepted" in tell(refused)


@pytest.mark.parametrize("verb", ["add_float", "return_cash"])
def test_float_is_moved_once_a_form(as_staff, drawer, mutua, verb):
    client, fields = as_staff(mutua), {"amount": "100", "key": "one"}

    first = answer(client, DRAWER, verb, drawer.pk, **fields)
    second = answer(client, DRAWER, verb, drawer.pk, **fields)

    assert (went_through(first), went_through(second)) == (True, False)
    assert abs(drawer.holds() - 5000) == 100


def test_cash_is_sent_accepted_and_taken_back(as_staff, drawer, mutua, otieno):
    factories.open_drawer(otieno, on=TODAY, of_1000=0)
    for key in ("a", "b"):
        sent = answer(
            as_staff(mutua), DRAWER, "send_cash", drawer.pk,
            amount="1000", recipient=otieno.pk, key=key,
        )  # fmt: skip
        assert went_through(sent)
    first, second = TillTransfer.objects.order_by("pk")

    assert went_through(answer(as_staff(otieno), TRANSFER, "accept", first.pk))
    assert went_through(answer(as_staff(otieno), TRANSFER, "take_back", second.pk, reason="900"))

    assert drawer.holds() == D("4000.00")
    books.prove()


def test_cash_goes_only_to_those_who_run_drawers_in_that_branch(as_staff, drawer, mutua, njeri):
    refused = answer(
        as_staff(mutua), DRAWER, "send_cash", drawer.pk, amount="1", recipient=njeri.pk, key="a"
    )

    assert not went_through(refused)
    assert "Select a valid choice" in tell(refused)


def test_a_cashier_sees_no_drawer_and_no_transfer_of_others(as_staff, drawer, otieno, kamau):
    third = factories.staff("baraka", "Cashier")
    sent = handovers.send(
        drawer, recipient=third, amount=D(1), key="a", by=drawer.cashier, on=TODAY
    )
    for model, pk in ((DRAWER, drawer.pk), (TRANSFER, sent.pk)):
        page = url_of(model, "change", pk)
        assert as_staff(otieno).get(page).status_code == 302
        assert as_staff(kamau).get(page).status_code == 200
    assert as_staff(otieno).get(url_of(DRAWER, "sheet", drawer.pk)).status_code == 404


def test_who_runs_no_drawer_opens_none(as_staff, njeri, achieng):
    assert as_staff(njeri).get(reverse("admin:tills_drawersession_mine")).status_code == 403
    assert as_staff(achieng).get(url_of(DRAWER, "add")).status_code == 403
    assert as_staff(achieng).get(url_of(DRAWER, "changelist")).status_code == 200


def test_a_branch_with_drawers_only_refuses_the_cash_form_without_one(as_staff, mutua, loan):
    branch = mutua.branch
    branch.requires_drawer = True
    branch.save()
    fields = {"account": loan.number, "amount": "100", "method": "cash", "reference": "",
              "value_date": "2026-02-15", "form_key": "one"}  # fmt: skip

    refused = as_staff(mutua).post(url_of("payments.payment", "add"), fields)

    assert "Open your drawer first" in tell(refused)
    assert not Payment.objects.exists()


# --- To the bank, and between accounts -----------------------------------------------------------
def test_cash_of_a_drawer_and_of_the_vault_goes_to_the_bank(as_staff, drawer, mutua, kamau):
    fields = {"amount": "2000", "slip_number": "bk1"}
    assert went_through(answer(as_staff(mutua), DRAWER, "bank_cash", drawer.pk, **fields))
    as_staff(kamau).post(url_of(BANKING, "add"), {"amount": "300", "slip_number": "bk2"})
    of_drawer, of_vault = Banking.objects.order_by("pk")
    mwende = factories.staff("mwende", "Accountant", branch=None)
    client = as_staff(mwende)

    confirmed = answer(client, BANKING, "confirm", of_drawer.pk, arrived_on="2026-02-15")
    returned = answer(client, BANKING, "bring_back", of_vault.pk, reason="Closed early")

    assert (went_through(confirmed), went_through(returned)) == (True, True)
    assert books.balances()[chart.BANK] == D("2000.00")
    assert answer(as_staff(mutua), BANKING, "confirm", of_drawer.pk).status_code == 403
    books.prove()


def test_funds_are_moved_and_reversed(as_staff, kamau, mutua):
    fields = {"source": chart.MPESA_PAYBILL, "destination": chart.BANK, "amount": "5000",
              "charge": "", "reference": "ukl7", "moved_on": "2026-02-15"}  # fmt: skip
    assert as_staff(mutua).get(url_of(FUNDS, "add")).status_code == 403
    client = as_staff(kamau)
    client.post(url_of(FUNDS, "add"), fields)
    again = client.post(url_of(FUNDS, "add"), fields)
    moved = FundsTransfer.objects.get()
    assert "UKL7 was booked before" in tell(again)
    assert books.balances()[chart.BANK] == D("5000.00")

    assert went_through(answer(client, FUNDS, "undo", moved.pk, reason="Typed twice"))

    assert not any(books.balances().values())


# --- What waits ----------------------------------------------------------------------------------
def test_the_first_page_and_the_sidebar_tell_what_waits(as_staff, drawer, mutua, otieno, kamau):
    handovers.send(drawer, recipient=otieno, amount=D(1), key="a", by=mutua, on=TODAY)
    left = factories.open_drawer(otieno, on=date(2026, 2, 14))
    drawers.count(left, pieces={}, by=otieno, on=TODAY)

    page = as_staff(kamau).get(reverse("admin:index"))

    shown = {card.title: card for _, group in page.context["card_groups"] for card in group}
    assert (shown["Drawers left open"].value, shown["Drawer differences"].value) == ("1", "1")
    found = as_staff(kamau).get(shown["Drawers left open"].link)
    assert list(found.context["cl"].result_list) == [left]
    found = as_staff(kamau).get(url_of(DRAWER, "changelist"), {"state": "difference"})
    assert list(found.context["cl"].result_list) == [left]


def test_lists_take_the_same_queries_for_one_row_and_for_three(as_staff, kamau, mutua, otieno):
    client = as_staff(kamau)
    pages = [url_of(model, "changelist") for model in (DRAWER, TRANSFER, BANKING, FUNDS)]
    counts = []
    for cashier in (mutua, otieno, factories.staff("baraka", "Cashier")):
        drawer = factories.open_drawer(cashier, on=TODAY)
        name = cashier.username
        handovers.send(drawer, recipient=kamau, amount=D(1), key=name, by=cashier, on=TODAY)
        banking.bank(amount=D(1), slip_number=name, branch=drawer.branch, session=drawer,
                     by=cashier, on=TODAY)  # fmt: skip
        funds.transfer(source=chart.BANK, destination=chart.MPESA_WORKING, amount=D(1),
                       charge=D(0), reference=name, branch=drawer.branch, by=kamau, on=TODAY,
                       today=TODAY)  # fmt: skip
        counts.append([queries_of(client, page) for page in pages])

    assert counts[0] == counts[2]
    assert max(counts[0]) <= MOST_QUERIES
