"""Manual journals in the office: the grid, the dialogs with balances, who may do what."""

from datetime import date
from decimal import Decimal

import pytest
from django.core.files.base import ContentFile

from lms import dates
from lms.backoffice.admin.journals import ManualJournalAdmin
from lms.ledger import chart, journals
from lms.ledger.journals import Wanted
from lms.ledger.models import (
    JournalEntry,
    JournalPaper,
    JournalTemplate,
    JournalTemplateLine,
    ManualJournal,
)
from lms.ledger.operations import Line, post
from tests import factories
from tests.backoffice.pages import MOST_QUERIES, answer, ask, queries_of, url_of, went_through

D = Decimal
MODEL = "ledger.manualjournal"
TEMPLATE = "ledger.journaltemplate"
RENT = D(45000)
LINES = {
    "lines-TOTAL_FORMS": "3",
    "lines-INITIAL_FORMS": "0",
    "lines-0-account": chart.RENT,
    "lines-0-debit": "45000",
    "lines-1-account": chart.BANK,
    "lines-1-credit": "45000.00",
    "lines-1-memo": "Standing order",
    "papers-TOTAL_FORMS": "0",
    "papers-INITIAL_FORMS": "0",
}


@pytest.fixture
def wambui(db):
    return factories.staff("wambui", "Accountant")


def written(by, *, debit=RENT, credit=RENT, **fields):
    return journals.write(
        date=dates.today(),
        narration="Rent of Gikomba",
        branch=factories.branch(),
        lines=[Wanted(chart.RENT, debit=debit), Wanted(chart.BANK, credit=credit)],
        by=by,
        **fields,
    )


def submitted(by, **fields):
    return journals.submit(written(by, **fields), by=by, on=dates.today())


def test_an_accountant_writes_a_journal_with_its_lines(as_staff, wambui):
    client = as_staff(wambui)
    heading = {
        "date": dates.today().isoformat(),
        "branch": factories.branch().pk,
        "narration": "Rent of Gikomba",
    }

    response = client.post(url_of(MODEL, "add"), {**heading, **LINES})

    assert response.status_code == 302, response.context["errors"]
    journal = ManualJournal.objects.get()
    assert (journal.created_by, journal.status) == (wambui, "draft")
    assert [(line.account_id, line.debit, line.credit) for line in journal.lines.all()] == [
        (chart.RENT, D(45000), D(0)),
        (chart.BANK, D(0), D(45000)),
    ]
    assert journal.makers() == {wambui.pk}


@pytest.mark.parametrize(
    "sides", [{"debit": "5", "credit": "5"}, {"debit": "", "credit": ""}, {"debit": "-5"}]
)
def test_a_line_with_two_sides_or_none_is_not_saved(as_staff, wambui, sides):
    line = {f"lines-0-{side}": amount for side, amount in sides.items()}
    answers = {
        **LINES,
        "lines-0-debit": "",
        **line,
        "date": "2026-01-31",
        "branch": factories.branch().pk,
        "narration": "Rent",
    }

    response = as_staff(wambui).post(url_of(MODEL, "add"), answers)

    assert "Fill in either the debit or the credit, above zero." in response.content.decode()
    assert ManualJournal.objects.count() == 0


def test_the_grid_offers_only_accounts_that_take_manual_entries(as_staff, wambui):
    page = as_staff(wambui).get(url_of(MODEL, "add")).content.decode()

    assert f'value="{chart.RENT}"' in page
    assert f'value="{chart.LOAN_PRINCIPAL}"' not in page
    assert 'value="5000"' not in page
    assert "data-journal-difference" in page
    assert "backoffice/journal.js" in page


def test_submitting_shows_the_balances_and_asks_first(as_staff, wambui):
    journal = written(wambui)
    client = as_staff(wambui)

    page = ask(client, MODEL, "submit", journal.pk).content.decode()

    assert "5120 Rent" in page
    assert "+45,000.00" in page
    journal.refresh_from_db()
    assert journal.status == "draft"
    assert went_through(answer(client, MODEL, "submit", journal.pk))
    journal.refresh_from_db()
    assert journal.status == "submitted"


def test_a_journal_that_does_not_balance_says_by_how_much(as_staff, wambui):
    journal = written(wambui, credit=D(44000))
    client = as_staff(wambui)

    assert (
        "they differ by KES 1,000.00" in ask(client, MODEL, "submit", journal.pk).content.decode()
    )
    refused = answer(client, MODEL, "submit", journal.pk)

    assert "they differ by KES 1,000.00" in refused.content.decode()
    assert not went_through(refused)


def test_a_mistyped_year_is_told_beside_the_date(as_staff, wambui):
    heading = {"branch": factories.branch().pk, "narration": "Rent of Gikomba"}

    page = as_staff(wambui).post(url_of(MODEL, "add"), {"date": "0206-01-20", **heading, **LINES})

    (told,) = page.context["adminform"].form.errors["date"]
    assert "where the books begin: is the year right?" in told
    assert not ManualJournal.objects.exists()


def test_the_balances_of_another_branch_are_not_shown(as_staff, wambui, kamau):
    kisumu = factories.branch("KSM", "Kisumu")
    head = factories.staff("mwangi", "Accountant", branch=None)
    post(
        kind="test",
        reference="capital",
        on=dates.today(),
        narration="Capital",
        lines=[Line(chart.BANK, chart.SHARE_CAPITAL, D(987654))],
        branch_id=kisumu.pk,
        by=head,
    )
    journal = journals.write(
        date=dates.today(),
        narration="Rent of Kondele",
        branch=factories.branch(),
        lines=[Wanted(chart.RENT, debit=RENT), Wanted(chart.BANK, credit=RENT, branch=kisumu)],
        by=head,
    )

    client = as_staff(wambui)
    pages = [ask(client, MODEL, "submit", journal.pk).content.decode()]
    journals.submit(journal, by=head, on=dates.today())
    pages.append(client.get(url_of(MODEL, "change", journal.pk)).content.decode())
    client = as_staff(kamau)
    pages.append(ask(client, MODEL, "approve", journal.pk).content.decode())

    for page in pages:
        assert "touches Kisumu: somebody of head office has to do this" in page
        assert "987,654" not in page
    page = as_staff(head).get(url_of(MODEL, "change", journal.pk)).content.decode()
    assert "987,654.00" in page


def test_a_manager_posts_what_an_accountant_submitted(as_staff, wambui, kamau):
    journal = submitted(wambui)
    client = as_staff(kamau)

    detail = client.get(url_of(MODEL, "change", journal.pk)).content.decode()
    assert "What posting it does to balances" in detail
    assert went_through(answer(client, MODEL, "approve", journal.pk))

    journal.refresh_from_db()
    assert journal.entry.posted_by == kamau


def test_ones_own_journal_is_refused_in_the_dialog(as_staff, kamau):
    journal = submitted(kamau)

    refused = answer(as_staff(kamau), MODEL, "approve", journal.pk)

    assert "a second person decides" in refused.content.decode()
    assert JournalEntry.objects.count() == 0


def test_a_rejection_is_told_with_its_reason(as_staff, wambui, kamau):
    journal = submitted(wambui)
    client = as_staff(kamau)

    assert went_through(answer(client, MODEL, "reject", journal.pk, reason="No invoice"))

    page = client.get(url_of(MODEL, "change", journal.pk)).content.decode()
    assert "No invoice" in page


def test_an_accountant_asks_for_a_reversal_of_the_next_month(as_staff, wambui, kamau):
    journal = journals.approve(submitted(wambui), by=kamau, on=dates.today())
    client = as_staff(wambui)
    first = journals.next_period(dates.today())

    assert first.isoformat() in ask(client, MODEL, "reverse", journal.pk).content.decode()
    answers = {"reversal_date": first.isoformat(), "reason": "Paid by the owner"}
    assert went_through(answer(client, MODEL, "reverse", journal.pk, **answers))

    reversal = journal.reversals.get()
    assert (reversal.date, reversal.status) == (first, "submitted")


def test_a_copy_opens_as_a_draft(as_staff, wambui):
    journal = submitted(wambui)

    response = answer(as_staff(wambui), MODEL, "copy", journal.pk)

    made = ManualJournal.objects.exclude(pk=journal.pk).get()
    assert response.headers["HX-Redirect"] == url_of(MODEL, "change", made.pk)


def test_what_is_submitted_is_not_typed_over(as_staff, wambui):
    journal = submitted(wambui)
    change = url_of(MODEL, "change", journal.pk)

    assert as_staff(wambui).post(change, {"narration": "Other", **LINES}).status_code == 403


def test_a_journal_that_was_submitted_meanwhile_is_not_typed_over(as_staff, wambui, monkeypatch):
    journal = written(wambui)
    save_form = ManualJournalAdmin.save_form

    def save_form_after_a_submission(page, request, form, change):
        journals.submit(journal, by=wambui, on=dates.today())
        return save_form(page, request, form, change)

    monkeypatch.setattr(ManualJournalAdmin, "save_form", save_form_after_a_submission)
    answers = {
        "date": dates.today().isoformat(),
        "branch": journal.branch_id,
        "narration": "Something else",
        "lines-TOTAL_FORMS": "0",
        "lines-INITIAL_FORMS": "0",
        "papers-TOTAL_FORMS": "0",
        "papers-INITIAL_FORMS": "0",
    }

    response = as_staff(wambui).post(url_of(MODEL, "change", journal.pk), answers)

    journal.refresh_from_db()
    assert response.status_code == 403
    assert journal.narration == "Rent of Gikomba"


@pytest.mark.parametrize(
    ("verb", "role"),
    [
        ("approve", "Accountant"),
        ("reject", "Accountant"),
        ("submit", "Manager"),
        ("submit", "Cashier"),
        ("reverse", "Auditor"),
        ("withdraw", "Auditor"),
    ],
)
def test_who_may_not(as_staff, wambui, verb, role):
    journal = submitted(wambui)
    client = as_staff(factories.staff("mtu", role))

    assert ask(client, MODEL, verb, journal.pk).status_code == 403
    assert answer(client, MODEL, verb, journal.pk).status_code == 403


def test_a_journal_of_another_branch_is_not_there(as_staff, wambui, kamau):
    journal = submitted(wambui)
    far = factories.staff("akinyi", "Manager", branch=factories.branch("KSM", "Kisumu"))
    client = as_staff(far)

    assert client.get(url_of(MODEL, "changelist")).context["cl"].result_count == 0
    assert answer(client, MODEL, "approve", journal.pk).status_code == 404


def test_a_paper_is_shown_to_those_who_see_the_journal(as_staff, wambui):
    journal = written(wambui)
    paper = JournalPaper(journal=journal, name="Invoice 118")
    paper.file.save("invoice.pdf", ContentFile(b"%PDF-1.4"))
    far = factories.staff("akinyi", "Accountant", branch=factories.branch("KSM", "Kisumu"))

    assert as_staff(wambui).get(paper.file.url).status_code == 200
    assert as_staff(far).get(paper.file.url).status_code == 404
    assert as_staff(factories.mutua()).get(paper.file.url).status_code == 404


def test_the_list_finds_by_number_and_narration_and_adds_up(as_staff, wambui, kamau):
    first = submitted(wambui)
    journals.approve(submitted(wambui, debit=D(500), credit=D(500)), by=kamau, on=dates.today())
    client = as_staff(wambui)
    changelist = url_of(MODEL, "changelist")

    by_number = client.get(changelist, {"q": first.number}).context["cl"].result_list
    by_words = client.get(changelist, {"q": "gikomba"}).context["cl"].result_count
    totals = client.get(f"{changelist}totals/").content.decode()

    assert list(by_number) == [first]
    assert by_words == 2
    assert "KES 45,500.00" in totals
    assert "KES 500.00" in totals


@pytest.mark.parametrize("origin", ["written", "recurring", "reversal"])
def test_the_list_tells_origins_apart(as_staff, wambui, origin):
    written(wambui)

    found = as_staff(wambui).get(url_of(MODEL, "changelist"), {"origin": origin}).context["cl"]

    assert found.result_count == (1 if origin == "written" else 0)


def test_a_page_takes_the_same_queries_for_one_journal_and_for_three(as_staff, wambui):
    journal = submitted(wambui)
    client = as_staff(wambui)
    urls = (url_of(MODEL, "changelist"), url_of(MODEL, "change", journal.pk))
    one = [queries_of(client, url) for url in urls]
    draft = queries_of(client, url_of(MODEL, "change", written(wambui).pk))
    submitted(wambui)

    assert [queries_of(client, url) for url in urls] == one
    assert max(*one, draft) <= MOST_QUERIES


# --- Templates ---
def a_template(**fields):
    template = JournalTemplate.objects.create(
        name="Rent", narration="Rent", branch=factories.branch(), first_on=dates.today(), **fields
    )
    for account, debit, credit in ((chart.RENT, 45000, 0), (chart.BANK, 0, 45000)):
        JournalTemplateLine.objects.create(
            template=template, account_id=account, debit=debit, credit=credit
        )
    return template


def test_this_months_journals_are_made_once(as_staff, wambui):
    a_template()
    client = as_staff(wambui)
    url = url_of(TEMPLATE, "draft_due")

    assert "Rent of " in client.get(url).content.decode()
    assert went_through(client.post(url, {"_form_submitted": "on"}))
    assert "is drafted already" in client.get(url).content.decode()
    assert went_through(client.post(url, {"_form_submitted": "on"}))

    assert ManualJournal.objects.get().created_by == wambui


def test_a_template_shows_the_journals_made_of_it(as_staff, wambui):
    template = a_template()
    client = as_staff(wambui)
    client.post(url_of(TEMPLATE, "draft_due"), {"_form_submitted": "on"})

    page = client.get(url_of(TEMPLATE, "change", template.pk)).content.decode()

    assert ManualJournal.objects.get().number in page


def test_a_template_of_a_mistyped_year_is_refused(as_staff, wambui):
    heading = {"name": "Rent", "narration": "Rent", "branch": factories.branch().pk, "every": "1"}

    page = as_staff(wambui).post(
        url_of(TEMPLATE, "add"), {**heading, **LINES, "first_on": "1926-01-31"}
    )

    assert "where the books begin" in page.context["adminform"].form.errors["first_on"][0]
    assert not JournalTemplate.objects.exists()


def test_a_template_that_ends_before_it_begins_is_refused(as_staff, wambui):
    answers = {
        **LINES,
        "name": "Rent",
        "narration": "Rent",
        "branch": factories.branch().pk,
        "every": "1",
        "first_on": date(2026, 2, 1).isoformat(),
        "last_on": date(2026, 1, 1).isoformat(),
    }

    response = as_staff(wambui).post(url_of(TEMPLATE, "add"), answers)

    assert "The last date is before the first one." in response.content.decode()
