"""Reconciliation in the office: bring a statement, work it off, prove it, sign it, print it."""

from datetime import date
from decimal import Decimal

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.urls import reverse

from lms import dates
from lms.ledger.models import Transfer
from lms.loans.operations import collection
from lms.payments.models import Payment
from lms.reconciliation.models import BankLayout, Match, Reconciliation, StatementFile
from lms.reconciliation.operations import signing
from lms.staff.models import Approval
from lms.tills.operations import banking
from tests import factories
from tests.backoffice.pages import MOST_QUERIES, answer, ask, queries_of, url_of, went_through
from tests.reconciliation import papers
from tests.reconciliation.papers import FILES, LAST, begun, line_of, paid, taken

PERIOD = "reconciliation.reconciliation"
FILE = "reconciliation.statementfile"
LINE = "reconciliation.statementline"


@pytest.fixture(autouse=True)
def _today(monkeypatch):
    monkeypatch.setattr(dates, "today", lambda: LAST)


@pytest.fixture
def auma(as_staff, db):
    """The accountant, logged in."""
    return as_staff(papers.auma())


def page(client, url: str) -> str:
    response = client.get(url)
    assert response.status_code == 200
    return response.content.decode()


def bring(client, period, name: str = "mpesa.csv"):
    file = SimpleUploadedFile(name, (FILES / name).read_bytes())
    return client.post(url_of(FILE, "add"), {"reconciliation": period.pk, "file": file})


# --- From beginning to end -----------------------------------------------------------------------
def test_a_period_is_begun_and_refusals_stand_beside_their_field(auma):
    factories.branch()
    answers = {"account": "1020", "first": "2026-11-20", "last": "2026-11-30"}

    refused = auma.post(url_of(PERIOD, "add"), answers)
    made = auma.post(url_of(PERIOD, "add"), answers | {"last": "2026-11-21"})

    assert "at the latest" in refused.content.decode()
    period = Reconciliation.objects.get()
    assert made.url == url_of(PERIOD, "change", period.pk)
    assert (period.made_by, period.last) == (papers.auma(), LAST)


def test_a_statement_is_shown_before_it_is_taken_in(auma):
    period = begun()

    brought = bring(auma, period)

    file = StatementFile.objects.get()
    assert brought.url == url_of(FILE, "change", file.pk)
    preview = page(auma, brought.url)
    assert "UKL2MS0001" in preview
    assert "KES 114,653.00" in preview
    assert period.own_lines.count() == 0
    assert went_through(answer(auma, FILE, "take_in", file.pk))
    assert period.own_lines.count() == 11
    assert b"".join(auma.get(file.file.url).streaming_content).startswith(b"Organization Name")


def test_lines_that_cannot_be_read_are_listed_and_nothing_is_offered(auma):
    period = begun()
    content = papers.statement("UKL1AA0001|20-11-2026 10:00|5oo|Pay Bill")
    file = papers.brought(period, content)

    shown = page(auma, url_of(FILE, "change", file.pk))

    assert "is not an amount" in shown
    assert url_of(FILE, "take_in", file.pk) not in shown


def test_the_page_counts_and_lists_each_verdict(auma):
    period = begun()
    paid("UKL2CC0001", "500")
    paid("UKL1AA0001", "450")
    paid("UKL0XX0001", "300")
    taken(period)
    own = url_of(PERIOD, "change", period.pk)

    assert "UKL2MS0001" in page(auma, own)
    assert "UKL2CC0001" not in page(auma, own)
    assert "UKL2CC0001" in page(auma, f"{own}?verdict=matched")
    assert "KES 50.00" in page(auma, f"{own}?verdict=differs")
    assert "UKL0XX0001" in page(auma, f"{own}?verdict=missing_there")
    assert "UKL3FA0001" in page(auma, f"{own}?verdict=failed")
    assert "Nothing here." in page(auma, f"{own}?verdict=duplicate")
    assert page(auma, f"{own}?verdict=nonsense")


def test_a_line_is_worked_off_from_its_page(auma):
    period = begun()
    taken(period)
    receipt, charge, settled = (
        line_of("UKL2CC0015"), line_of("UKL7PB0001"), line_of("UKL8BK0001"),
    )  # fmt: skip

    assert "KES 500.00 came in" in ask(auma, LINE, "create_payment", receipt.pk).content.decode()
    assert Payment.objects.count() == 0
    assert went_through(
        answer(auma, LINE, "create_payment", receipt.pk, reference="UKL2CC0015", account="WRONG1")
    )
    assert went_through(answer(auma, LINE, "book_charge", charge.pk))
    assert went_through(
        answer(auma, LINE, "book_transfer", settled.pk, other="1030", reason="Settled")
    )
    assert Payment.objects.get().reference == "UKL2CC0015"
    assert Transfer.objects.filter(debit="5040", amount=Decimal(34)).count() == 1
    assert Transfer.objects.filter(debit="1030", amount=Decimal(30_000)).count() == 1
    shown = page(auma, url_of(LINE, "change", receipt.pk))
    assert "Booked from the line" in shown
    assert went_through(answer(auma, LINE, "unmatch", receipt.pk, reason="another customer"))
    assert "taken apart" in page(auma, url_of(LINE, "change", receipt.pk))


def test_a_slip_is_confirmed_on_its_line(auma):
    factories.vault(on=LAST)
    banking.bank(
        amount=Decimal(4000), slip_number="SLIP77", branch=factories.branch(),
        by=factories.mutua(), on=LAST,
    )  # fmt: skip
    papers.bank_taken(begun("1030"), "21/11/2026|SLIP77|CASH DEPOSIT|4000.00")
    line = line_of("SLIP77")

    shown = page(auma, url_of(LINE, "change", line.pk))
    assert url_of(LINE, "confirm_slip", line.pk) in shown
    assert url_of(LINE, "create_payment", line.pk) not in shown
    assert "is a banking slip of ours: confirm that it arrived" in shown
    assert "left on 21 Nov 2026" in ask(auma, LINE, "confirm_slip", line.pk).content.decode()
    assert not Transfer.objects.filter(debit="1030").exists()
    assert went_through(answer(auma, LINE, "confirm_slip", line.pk))
    assert Transfer.objects.filter(debit="1030", credit="1045").count() == 1


def test_cheques_clear_and_come_back_on_their_lines(auma):
    cheque = paid("CHQ00001", "700", method="cheque")
    papers.bank_taken(
        begun("1030"),
        "21/11/2026|FT1|CHEQUE DEPOSIT CHQ00001|700.00",
        "21/11/2026|FT2|UNPAID CHEQUE CHQ00001|-700.00",
    )
    came, went = line_of("FT1"), line_of("FT2")

    asked = ask(auma, LINE, "clear_cheques", came.pk).content.decode()
    assert f'value="{cheque.pk}" selected' in asked
    assert went_through(answer(auma, LINE, "clear_cheques", came.pk, cheques=[cheque.pk]))
    refused = answer(auma, LINE, "return_cheque", went.pk, cheque=cheque.pk)
    assert f"Reverse {cheque.number} first" in refused.content.decode()
    collection.reverse_payment(cheque, reason="unpaid", by=papers.auma(), on=LAST)
    assert went_through(answer(auma, LINE, "return_cheque", went.pk, cheque=cheque.pk))
    assert Match.objects.filter(is_live=True).count() == 2


def test_what_may_be_own_money_is_counted_apart(auma):
    paid("CHQ00001", "700", method="cheque")
    period = begun("1030")
    papers.bank_taken(
        period,
        "21/11/2026|FT1|CHEQUE DEPOSIT|700.00",
        "21/11/2026|FT2|RTGS WANJIKU|900.00",
    )

    asked = ask(auma, PERIOD, "create_payments", period.pk).content.decode()

    assert "1 lines of money in are not in the books, together KES 900.00" in asked
    assert "1 more may be own money or cheques" in asked


def test_a_booking_is_reversed_by_somebody_else(auma, as_staff):
    period = begun()
    taken(period)
    line = line_of("UKL7PB0001")
    answer(auma, LINE, "book_charge", line.pk)

    own = answer(auma, LINE, "reverse_booking", line.pk, reason="no charge")
    baraka = as_staff(papers.baraka())
    asked = ask(baraka, LINE, "reverse_booking", line.pk).content.decode()
    assert Transfer.objects.count() == 1
    assert went_through(answer(baraka, LINE, "reverse_booking", line.pk, reason="no charge"))

    assert "You booked this yourself" in own.content.decode()
    assert "Booked as JE" in asked
    assert Transfer.objects.count() == 2
    shown = page(baraka, url_of(LINE, "change", line.pk))
    assert url_of(LINE, "reverse_booking", line.pk) not in shown


def test_the_charges_are_shown_before_they_are_booked(auma):
    period = begun("1030")
    papers.bank_taken(
        period,
        "21/11/2026|TT1|RTGS SCHOOL FEES|-50000.00",
        "21/11/2026|TT3|RTGS COMMISSION|-600.00",
    )

    asked = ask(auma, PERIOD, "book_charges", period.pk).content.decode()

    assert "RTGS COMMISSION" in asked
    assert "KES -600.00" in asked
    assert "SCHOOL FEES" not in asked
    assert "1 more are booked singly" in asked


def test_charges_that_were_taken_apart_are_not_booked_again(auma):
    period = begun()
    taken(period)
    answer(auma, PERIOD, "book_charges", period.pk)
    answer(auma, LINE, "unmatch", line_of("UKL7PB0001").pk, reason="wrong")

    assert went_through(answer(auma, PERIOD, "book_charges", period.pk))
    assert Transfer.objects.count() == 2


def test_a_line_is_matched_by_hand_with_one_of_the_closest_entries(auma):
    period = begun()
    payment = paid("TYPED00001", "500")
    taken(period)
    line = line_of("UKL2CC0015")

    assert f"JE{payment.entry_id:06d}" in ask(auma, LINE, "match_by_hand", line.pk).content.decode()
    refused = answer(auma, LINE, "match_by_hand", line.pk, reason="typed wrong")
    assert "Choose at least one entry" in refused.content.decode()
    assert went_through(
        answer(
            auma, LINE, "match_by_hand", line.pk, entries=[payment.entry_id], reason="typed wrong"
        )
    )
    assert Match.objects.get().reason == "typed wrong"


def test_several_lines_are_matched_together(auma):
    period = begun()
    payment = paid("TYPED00001", "1000")
    taken(period)
    keys = [line_of("UKL2CC0015").pk, line_of("UKL2CC0001").pk]
    asked = {"action": "match_selected", "_selected_action": keys}

    form = auma.post(url_of(LINE, "changelist"), asked)
    done = auma.post(
        url_of(LINE, "changelist"),
        asked
        | {
            "answered": "1",
            "_form_submitted": "on",
            "entries": [payment.entry_id],
            "reason": "one deposit",
        },
    )

    assert "KES 1,000.00" in form.content.decode()
    assert done.status_code == 302
    assert Match.objects.get().lines.count() == 2


def test_many_lines_are_booked_at_once(auma):
    period = begun()
    taken(period)

    assert "5 lines of money in" in ask(auma, PERIOD, "create_payments", period.pk).content.decode()
    assert "KES 47.00" in ask(auma, PERIOD, "book_charges", period.pk).content.decode()
    assert went_through(answer(auma, PERIOD, "create_payments", period.pk))
    assert went_through(answer(auma, PERIOD, "book_charges", period.pk))
    assert went_through(answer(auma, PERIOD, "match_again", period.pk))
    assert (Payment.objects.count(), Match.objects.count()) == (5, 7)


def test_signing_takes_another_person_and_reopening_two(auma, as_staff):
    period = begun()
    taken(period)
    refused = answer(auma, PERIOD, "sign_off", period.pk)
    assert "You prepared this reconciliation" in refused.content.decode()

    baraka = as_staff(papers.baraka())
    assert went_through(answer(baraka, PERIOD, "sign_off", period.pk, note="seen"))
    assert went_through(answer(baraka, PERIOD, "ask_to_reopen", period.pk, reason="wrong line"))
    approval = Approval.objects.get()
    assert approval.kind == signing.REOPEN
    own = answer(baraka, "staff.approval", "approve", approval.pk)
    assert "asked for this yourself" in own.content.decode()
    assert went_through(answer(as_staff(papers.auma()), "staff.approval", "approve", approval.pk))
    period.refresh_from_db()
    assert period.is_open


def test_balances_are_typed_where_the_statement_does_not_tell_them(auma):
    period = begun()

    assert went_through(
        answer(auma, PERIOD, "set_balances", period.pk, opening="0", closing="500", reason="paper")
    )

    period.refresh_from_db()
    assert (period.closing, period.history.latest().history_change_reason) == (
        Decimal("500.00"),
        "paper",
    )


def test_a_period_begun_by_mistake_is_taken_back(auma):
    period = begun()

    response = answer(auma, PERIOD, "remove", period.pk, reason="wrong account")

    assert response.headers["HX-Redirect"] == url_of(PERIOD, "changelist")
    assert Reconciliation.objects.count() == 0


def test_the_statement_is_printed_with_every_difference(auma):
    period = begun()
    paid("UKL0XX0001", "300")
    taken(period)

    paper = page(auma, url_of(PERIOD, "print", period.pk))

    assert "Reconciliation statement RN" in paper
    assert "UKL2MS0001" in paper
    assert "UKL0XX0001" in paper
    assert "KES 114,653.00" in paper


def test_waiting_money_is_shown_by_its_age(auma):
    paid("UKA0AA0001", "1234", on=date(2026, 11, 1))

    assert "1,234.00" in page(auma, url_of(PERIOD, "ageing"))


def test_a_bank_is_described_once(auma):
    answers = {
        "name": "Equity Bank", "account": "1030", "day": "Date", "narration": "Details",
        "date_format": "day_first",
    }  # fmt: skip

    refused = auma.post(url_of("reconciliation.banklayout", "add"), answers)
    auma.post(url_of("reconciliation.banklayout", "add"), answers | {"amount": "Amount"})

    assert "Name the two columns" in refused.content.decode()
    assert BankLayout.objects.get().columns.amount == "Amount"


# --- Who may -------------------------------------------------------------------------------------
@pytest.mark.parametrize("role", ["Auditor", "Manager"])
def test_who_may_not_bring_statements_sees_them(as_staff, db, role):
    period = begun()
    file = papers.brought(period)
    client = as_staff(factories.staff("mtu", role, branch=None))

    assert page(client, url_of(PERIOD, "change", period.pk))
    assert client.get(url_of(FILE, "add")).status_code == 403
    assert answer(client, FILE, "take_in", file.pk).status_code == 403


@pytest.mark.parametrize(
    ("model", "verb"),
    [
        (LINE, "create_payment"),
        (LINE, "book_charge"),
        (LINE, "match_by_hand"),
        (PERIOD, "sign_off"),
        (PERIOD, "create_payments"),
    ],
)
def test_the_auditor_only_looks(as_staff, db, model, verb):
    period = begun()
    taken(period)
    record = period if model == PERIOD else line_of("UKL2CC0015")
    client = as_staff(factories.staff("mtu", "Auditor", branch=None))

    assert answer(client, model, verb, record.pk).status_code == 403


@pytest.mark.parametrize("role", ["Manager", "Accountant", "Auditor"])
def test_people_of_one_branch_see_no_statements(as_staff, db, role):
    period = begun()
    file = taken(period)
    line = line_of("UKL7PB0001")
    client = as_staff(factories.staff("mtu", role))
    closed = [
        url_of(PERIOD, "changelist"), url_of(PERIOD, "add"), url_of(PERIOD, "ageing"),
        url_of(PERIOD, "change", period.pk), url_of(PERIOD, "print", period.pk),
        url_of(PERIOD, "history", period.pk), url_of(PERIOD, "export"),
        url_of(FILE, "changelist"), url_of(FILE, "add"), url_of(FILE, "change", file.pk),
        url_of(LINE, "changelist"), url_of(LINE, "change", line.pk), url_of(LINE, "export"),
        file.file.url,
    ]  # fmt: skip
    verbs = [
        (PERIOD, "book_charges", period), (PERIOD, "sign_off", period),
        (PERIOD, "create_payments", period), (PERIOD, "ask_to_reopen", period),
        (FILE, "withdraw", file), (LINE, "book_charge", line), (LINE, "match_by_hand", line),
    ]  # fmt: skip

    assert {client.get(url).status_code for url in closed} <= {302, 403, 404}
    assert {answer(client, model, verb, each.pk).status_code for model, verb, each in verbs} <= {
        403,
        404,
    }
    assert Transfer.objects.count() == 0
    home = page(client, reverse("admin:index"))
    for words in ("Reconciliations", "Statement lines", "Lines to reconcile"):
        assert words not in home


def test_the_badge_counts_the_lines_that_wait(auma):
    taken(begun())

    shown = page(auma, url_of(LINE, "changelist"))

    assert "Statement lines" in shown
    assert "on a statement, not in the books" in page(auma, reverse("admin:index"))


@pytest.mark.parametrize("model", [PERIOD, FILE, LINE])
def test_a_list_takes_the_same_queries_however_long_it_is(auma, model):
    period = begun()
    taken(period, papers.statement("UKL1AA0001|20-11-2026 10:00|500|Pay Bill"))
    one = queries_of(auma, url_of(model, "changelist"))
    for number in range(2, 5):
        taken(period, papers.statement(f"UKL1AA000{number}|20-11-2026 10:00|500|Pay Bill"))

    assert queries_of(auma, url_of(model, "changelist")) == one
    assert one <= MOST_QUERIES


def test_a_period_takes_a_bounded_number_of_queries(auma):
    period = begun()
    taken(period)

    assert queries_of(auma, url_of(PERIOD, "change", period.pk)) <= 40
