"""Imports in the office: who may bring what, the preview, the decision, the worker's share."""

from datetime import date
from decimal import Decimal

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.urls import reverse
from django_q.models import OrmQ

from lms import dates, jobs
from lms.customers.models import Customer
from lms.imports import operations
from lms.imports.models import ImportJob
from lms.loans.models import Repayment
from lms.payments.models import Payment
from tests import factories
from tests.backoffice.pages import MOST_QUERIES, answer, ask, queries_of, url_of, went_through
from tests.imports.papers import ON, running

D = Decimal
MODEL = "imports.importjob"
LISTS = {
    "schedule": "loans.repayment",
    "customers": "customers.customer",
    "loans": "loans.loan",
    "payments": "payments.payment",
}
SCHEDULE = "loan,number,due_date,amount_due,principal,interest\n"
CUSTOMERS = "first_name,last_name,phone,id_number\n"
OTIENO = "Otieno,Ouma,0722 000 111,23456789\n"


@pytest.fixture(autouse=True)
def _today(monkeypatch):
    monkeypatch.setattr(dates, "today", lambda: ON)


@pytest.fixture
def manager(as_staff, kamau):
    return as_staff(kamau)


def tell(response) -> str:
    return response.content.decode()


def bring(client, kind: str, text: str | bytes, name: str = "book.csv"):
    content = text.encode() if isinstance(text, str) else text
    return client.post(
        url_of(MODEL, "add"), {"kind": kind, "file": SimpleUploadedFile(name, content)}
    )


def one(loan, amount: str = "11000") -> str:
    return f"{loan.number},1,2026-02-05,{amount},10000,1000\n"


# --- Bringing a file -----------------------------------------------------------------------------
def test_a_small_file_is_checked_at_once_and_shown_line_by_line(manager):
    loan = running()

    response = bring(manager, "schedule", SCHEDULE + one(loan) + "LN999999,1,2026-02-05,5,5,0\n")

    job = ImportJob.objects.get()
    assert response.url == url_of(MODEL, "change", job.pk)
    assert (job.status, job.new, job.wrong) == ("checked", 1, 1)
    page = tell(manager.get(response.url))
    assert f"{loan.number} no. 1" in page
    assert "due 05 Feb 2026, KES 11,000.00" in page
    assert "LN999999" in page
    assert job.report.url in page
    assert Repayment.objects.count() == 0


def test_the_full_report_and_the_file_can_be_downloaded(manager):
    bring(manager, "customers", CUSTOMERS + OTIENO)
    job = ImportJob.objects.get()

    report = manager.get(job.report.url)

    assert b"line,key,state,column,message" in b"".join(report.streaming_content)
    assert b"".join(manager.get(job.file.url).streaming_content).decode() == CUSTOMERS + OTIENO


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "The submitted file is empty"),
        ("a,b\n1,2\n", "phone"),
        (CUSTOMERS, "has a header but no lines under it"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused_beside_its_field(manager, text, sentence):
    response = bring(manager, "customers", text)

    assert response.status_code == 200
    assert sentence in tell(response)
    assert ImportJob.objects.count() == 0


def test_a_spelling_is_not_an_offence_but_a_forged_kind_is(as_staff, db):
    accountant = factories.staff("wafula", "Accountant")
    client = as_staff(accountant)

    assert bring(client, "payments", "nothing").status_code == 200
    assert bring(client, "grain", "nothing").status_code == 200
    assert bring(client, "customers", CUSTOMERS + OTIENO).status_code == 403
    assert client.get(url_of(MODEL, "add"), {"kind": "customers"}).status_code == 403
    assert client.get(url_of(MODEL, "columns"), {"kind": "customers"}).status_code == 403
    assert client.get(url_of(MODEL, "template", "customers")).status_code == 403
    assert client.get(url_of(MODEL, "template", "grain")).status_code == 404
    assert ImportJob.objects.count() == 0


@pytest.mark.parametrize("role", ["Cashier", "Loan officer", "Auditor"])
def test_who_brings_no_files_is_not_offered_it(as_staff, db, role):
    client = as_staff(factories.staff("mtu", role))

    assert client.get(url_of(MODEL, "add")).status_code == 403
    assert bring(client, "payments", "x").status_code == 403
    for model in LISTS.values():
        link = url_of(model, "import_file")
        assert link not in tell(client.get(url_of(model, "changelist")))
        assert client.get(link).status_code == 403


@pytest.mark.parametrize(("kind", "model"), LISTS.items())
def test_each_list_leads_to_the_import_of_its_kind(manager, kind, model):
    link = url_of(model, "import_file")

    assert link in tell(manager.get(url_of(model, "changelist")))
    response = manager.get(link)
    assert response.url == f"{url_of(MODEL, 'add')}?kind={kind}"
    assert f'<option value="{kind}" selected>' in tell(manager.get(response.url))


@pytest.mark.parametrize("kind", LISTS)
def test_the_columns_are_told_and_the_template_can_be_brought_back(manager, kind):
    page = tell(manager.get(url_of(MODEL, "columns"), {"kind": kind}))
    template = manager.get(url_of(MODEL, "template", kind))

    assert "(required)" in page
    assert url_of(MODEL, "template", kind) in page
    assert template["Content-Disposition"] == f'attachment; filename="{kind}-template.csv"'
    assert bring(manager, kind, template.content).status_code == 302


# --- The decision --------------------------------------------------------------------------------
def test_asking_changes_nothing(manager):
    bring(manager, "customers", CUSTOMERS + OTIENO)
    job = ImportJob.objects.get()

    for verb in ("import_all", "import_rest", "check_again", "discard"):
        assert ask(manager, MODEL, verb, job.pk).status_code == 200

    job.refresh_from_db()
    assert job.status == "checked"
    assert Customer.objects.count() == 0
    assert "1 new and 0 changed lines" in tell(ask(manager, MODEL, "import_all", job.pk))


def test_a_good_file_is_imported_once(manager, kamau):
    bring(manager, "customers", CUSTOMERS + OTIENO)
    job = ImportJob.objects.get()

    assert went_through(answer(manager, MODEL, "import_all", job.pk))
    again = answer(manager, MODEL, "import_all", job.pk)

    assert "is imported" in tell(again)
    otieno = Customer.objects.get()
    assert otieno.history.get().history_user == kamau
    assert otieno.history.get().history_change_reason == "Imported from book.csv, line 2"
    page = tell(manager.get(url_of(MODEL, "change", job.pk)))
    assert "Imported: 1 new and 0 changed lines." in page
    assert url_of(MODEL, "import_all", job.pk) not in page


def test_a_file_with_a_wrong_line_is_imported_only_without_it(manager):
    good, bad = running(), running()
    text = SCHEDULE + one(good) + one(bad) + f"{bad.number},2,yesterday,5,5,0\n"
    bring(manager, "schedule", text)
    job = ImportJob.objects.get()

    page = tell(manager.get(url_of(MODEL, "change", job.pk)))
    assert url_of(MODEL, "import_all", job.pk) not in page
    refused = answer(manager, MODEL, "import_all", job.pk)
    assert "1 line is wrong, so nothing was imported" in tell(refused)
    assert Repayment.objects.count() == 0

    dialog = tell(ask(manager, MODEL, "import_rest", job.pk))
    assert "Left out: 1 wrong and 1 good that belong to them." in dialog
    assert went_through(answer(manager, MODEL, "import_rest", job.pk))
    assert list(Repayment.objects.values_list("loan", flat=True)) == [good.pk]


def test_a_file_that_became_wrong_says_so_and_is_no_success(manager):
    loan = running()
    bring(manager, "schedule", SCHEDULE + one(loan))
    job = ImportJob.objects.get()
    Repayment.objects.create(
        loan=loan, number=1, due_date=date(2026, 2, 5), principal=D(900), principal_paid=D(900),
        status="completed",
    )  # fmt: skip

    assert went_through(answer(manager, MODEL, "import_all", job.pk))

    page = tell(manager.get(url_of(MODEL, "change", job.pk)))
    assert "Some lines became wrong after the check. Nothing was imported." in page
    assert "Imported:" not in page


def test_payments_are_received_and_placed_by_the_one_who_imports(manager, kamau):
    loan = factories.active()
    text = "method,reference,amount,value_date,account\n"

    bring(manager, "payments", f"{text}mpesa,UKL2CC0001,9456,2026-02-15,{loan.number}\n")
    assert went_through(answer(manager, MODEL, "import_all", ImportJob.objects.get().pk))

    payment = Payment.objects.get()
    assert (payment.status, payment.taken_by) == (Payment.Status.ALLOCATED, kamau)


def test_a_file_is_checked_again_after_what_it_needed_was_added(manager):
    text = "legacy_number,customer,product,principal\nOLD-1,0722000111,BIASHARA,5000\n"
    factories.product()
    bring(manager, "loans", text)
    job = ImportJob.objects.get()
    assert job.wrong == 1

    factories.otieno()
    assert went_through(answer(manager, MODEL, "check_again", job.pk))

    job.refresh_from_db()
    assert (job.new, job.wrong) == (1, 0)


def test_a_discarded_file_is_not_imported(manager):
    bring(manager, "customers", CUSTOMERS + OTIENO)
    job = ImportJob.objects.get()

    assert went_through(answer(manager, MODEL, "discard", job.pk))

    assert "is discarded" in tell(answer(manager, MODEL, "import_all", job.pk))
    assert Customer.objects.count() == 0


def test_an_auditor_sees_every_file_and_decides_nothing(as_staff, kamau):
    bring(as_staff(kamau), "customers", CUSTOMERS + OTIENO)
    job = ImportJob.objects.get()
    client = as_staff(factories.staff("achieng", "Auditor", branch=None))

    assert client.get(url_of(MODEL, "change", job.pk)).status_code == 200
    for verb in ("import_all", "import_rest", "check_again", "discard"):
        assert answer(client, MODEL, verb, job.pk).status_code == 403
    assert Customer.objects.count() == 0


def test_who_may_not_write_what_is_in_a_file_does_not_decide_on_it(as_staff, kamau):
    bring(as_staff(kamau), "customers", CUSTOMERS + OTIENO)
    job = operations.confirm(ImportJob.objects.get(), leave_out_bad=False, by=kamau)
    client = as_staff(factories.staff("wafula", "Accountant", branch=None))

    page = tell(client.get(url_of(MODEL, "change", job.pk)))
    assert url_of(MODEL, "import_all", job.pk) not in page
    for verb in ("import_all", "import_rest", "check_again", "discard"):
        assert answer(client, MODEL, verb, job.pk).status_code == 403
    assert Customer.objects.count() == 0


def test_others_of_the_branch_do_not_see_my_file(as_staff, kamau):
    bring(as_staff(kamau), "customers", CUSTOMERS + OTIENO)
    job = ImportJob.objects.get()
    client = as_staff(factories.staff("atieno", "Manager"))

    assert client.get(url_of(MODEL, "change", job.pk)).status_code == 302
    assert client.get(url_of(MODEL, "progress", job.pk)).status_code == 404
    assert answer(client, MODEL, "import_all", job.pk).status_code == 404
    assert client.get(job.file.url).status_code == 404


# --- The worker's share --------------------------------------------------------------------------
@pytest.fixture
def large(settings, manager):
    """A file of more lines than a request does."""
    settings.IMPORT_INLINE_ROWS = 1
    bring(manager, "customers", CUSTOMERS + OTIENO + "Achieng,Odhiambo,0733000222,34567890\n")
    return ImportJob.objects.get()


def test_a_large_file_goes_to_the_worker_and_its_page_follows(manager, large):
    assert large.status == "uploaded"
    assert [order.task["func"] for order in OrmQ.objects.all()] == ["lms.jobs.run_import"]
    progress = url_of(MODEL, "progress", large.pk)
    assert f'hx-get="{progress}" hx-trigger="every 1s"' in tell(
        manager.get(url_of(MODEL, "change", large.pk))
    )
    assert "Waiting for a worker" in tell(manager.get(progress))

    jobs.run_import(large.pk)

    assert manager.get(progress).headers["HX-Refresh"] == "true"
    assert "Achieng" in tell(manager.get(url_of(MODEL, "change", large.pk)))


def test_the_worker_imports_a_large_file_once_it_is_confirmed(manager, large):
    jobs.run_import(large.pk)
    OrmQ.objects.all().delete()

    assert went_through(answer(manager, MODEL, "import_all", large.pk))

    assert Customer.objects.count() == 0
    assert OrmQ.objects.count() == 1
    assert "cannot become" in tell(answer(manager, MODEL, "import_all", large.pk))
    assert OrmQ.objects.count() == 1
    jobs.run_import(large.pk)
    jobs.run_import(large.pk)
    assert Customer.objects.count() == 2


def test_history_names_who_decided_on_a_large_file_and_not_who_brought_it(as_staff, large):
    jobs.run_import(large.pk)
    mkubwa = factories.staff("mkubwa", "Administrator", branch=None)
    answer(as_staff(mkubwa), MODEL, "import_all", large.pk)

    jobs.run_import(large.pk)

    authors = {customer.history.get().history_user for customer in Customer.objects.all()}
    assert authors == {mkubwa}


def test_a_large_file_is_checked_again_by_the_worker(manager, large):
    jobs.run_import(large.pk)
    OrmQ.objects.all().delete()

    assert went_through(answer(manager, MODEL, "check_again", large.pk))

    large.refresh_from_db()
    assert (large.status, OrmQ.objects.count()) == ("checking", 1)
    assert "Checking: " in tell(manager.get(url_of(MODEL, "progress", large.pk)))


def test_a_small_import_that_was_cut_off_goes_on(manager, kamau):
    bring(manager, "customers", CUSTOMERS + OTIENO)
    job = operations.confirm(ImportJob.objects.get(), leave_out_bad=False, by=kamau)

    assert url_of(MODEL, "import_all", job.pk) in tell(manager.get(url_of(MODEL, "change", job.pk)))
    assert went_through(answer(manager, MODEL, "import_all", job.pk))

    assert Customer.objects.count() == 1


def test_a_corrected_file_is_imported_and_the_same_once_more_changes_nothing(manager):
    loan = running()
    bring(manager, "schedule", SCHEDULE + one(loan, amount="eleven"))
    wrong = tell(manager.get(url_of(MODEL, "change", ImportJob.objects.get().pk)))
    assert "<td>2</td>" in wrong
    assert "amount_due" in wrong

    bring(manager, "schedule", SCHEDULE + one(loan))
    assert went_through(answer(manager, MODEL, "import_all", ImportJob.objects.first().pk))
    row = Repayment.objects.get()
    assert (row.loan, row.number, row.amount_due) == (loan, 1, D("11000.00"))

    bring(manager, "schedule", SCHEDULE + one(loan))
    again = ImportJob.objects.first()
    assert (again.new, again.changed, again.unchanged) == (0, 0, 1)
    assert "Nothing in this file is new or changed" in tell(
        answer(manager, MODEL, "import_all", again.pk)
    )


# --- Lists ---------------------------------------------------------------------------------------
def test_the_list_takes_the_same_queries_for_one_file_and_for_three(manager):
    bring(manager, "customers", CUSTOMERS + OTIENO)
    one_file = queries_of(manager, url_of(MODEL, "changelist"))
    bring(manager, "customers", CUSTOMERS + OTIENO)
    bring(manager, "customers", CUSTOMERS + OTIENO)

    assert queries_of(manager, url_of(MODEL, "changelist")) == one_file <= MOST_QUERIES
    detail = url_of(MODEL, "change", ImportJob.objects.first().pk)
    assert queries_of(manager, detail) <= MOST_QUERIES
    assert queries_of(manager, url_of(MODEL, "add")) <= MOST_QUERIES


def test_a_file_is_text_and_never_markup(manager):
    bring(manager, "customers", CUSTOMERS + "<script>alert(1)</script>,O,0700,1\n", "<b>x.csv")

    page = tell(manager.get(url_of(MODEL, "change", ImportJob.objects.get().pk)))

    assert "<script>alert(1)" not in page
    assert "<b>x.csv" not in page
    assert reverse("admin:index") in page
