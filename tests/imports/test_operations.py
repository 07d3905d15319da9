"""The way of a file through upload, check, confirm, apply and discard."""

import csv

import pytest

from lms import jobs
from lms.errors import Refused
from lms.imports import bulk, operations
from lms.imports.models import ImportJob
from lms.ledger.models import JournalEntry
from lms.loans.models import Repayment
from lms.payments.models import Payment
from tests import books, factories
from tests.imports.papers import (
    HEADER,
    ON,
    checked,
    counts,
    imported,
    running,
    uploaded,
)

pytestmark = pytest.mark.django_db


def one(loan, amount: str = "11000", paid: str = "") -> str:
    return f"{loan.number},1,2026-02-05,{amount},10000,1000,,,{paid},\n"


def test_a_check_writes_the_counts_and_a_report_line_by_line():
    loan = running()

    job = checked(HEADER + one(loan) + "=HYPERLINK(1),1,2026-02-05,5,,,,,,\n")

    assert (job.status, job.rows, job.progress, job.percent) == ("checked", 2, 2, 100)
    assert job.checked_at is not None
    with job.report.open("rb") as stored:
        lines = list(csv.reader(stored.read().decode("utf-8-sig").splitlines()))
    assert lines[0] == ["line", "key", "state", "column", "message"]
    assert lines[1][:3] == ["2", f"{loan.number} no. 1", "new"]
    assert lines[2][:4] == ["3", "'=HYPERLINK(1) no. 1", "wrong", "loan"]


def test_a_check_changes_nothing_but_the_job():
    loan = running()
    entries = JournalEntry.objects.count()

    job = checked(HEADER + one(loan, paid="500"))

    assert job.summary["new"] == [
        {
            "line": 2,
            "key": f"{loan.number} no. 1",
            "column": "",
            "message": "due 05 Feb 2026, KES 11,000.00, principal KES 10,000.00, "
            "interest KES 1,000.00, paid KES 500.00",
        }
    ]
    assert (Repayment.objects.count(), Payment.objects.count()) == (0, 0)
    assert JournalEntry.objects.count() == entries


def test_history_of_a_job_tells_every_step():
    job = imported(HEADER + one(running()))

    steps = job.history.order_by("history_id").values_list("status", "history_change_reason")
    assert list(steps) == [
        ("uploaded", "Uploaded"),
        ("checking", "Check started"),
        ("checked", "Checked"),
        ("confirmed", "Confirmed"),
        ("applying", "Import started"),
        ("done", "Imported"),
    ]


def test_a_done_file_is_not_applied_again():
    job = imported(HEADER + one(running()))

    with pytest.raises(Refused, match="is imported: it cannot become being imported"):
        operations.apply(job, by=job.created_by, on=ON)


def test_a_discarded_file_is_not_applied():
    job = checked(HEADER + one(running()))
    job = operations.discard(job, by=job.created_by)

    with pytest.raises(Refused, match="is discarded"):
        operations.confirm(job, leave_out_bad=False, by=job.created_by)


def test_a_file_that_became_known_after_the_check_changes_nothing():
    loan = running()
    job = checked(HEADER + one(loan))
    imported(HEADER + one(loan, paid="100"))

    job = operations.confirm(job, leave_out_bad=False, by=job.created_by)
    job = operations.apply(job, by=job.created_by, on=ON)

    assert (job.status, counts(job)) == ("done", {"unchanged": 1})


def test_a_line_that_became_wrong_after_the_check_refuses_the_file():
    loan = running()
    job = checked(HEADER + one(loan).replace("2026-02-05", "2026-02-06"))
    imported(HEADER + one(loan, paid="100"))

    job = operations.confirm(job, leave_out_bad=False, by=job.created_by)
    job = operations.apply(job, by=job.created_by, on=ON)

    assert (job.status, counts(job)) == ("refused", {"wrong": 1})
    assert job.error == "Some lines became wrong after the check. Nothing was imported."


def test_a_run_killed_in_the_middle_leaves_nothing_and_can_run_again(monkeypatch):
    first, second = running(), running()
    job = checked(HEADER + one(first, paid="500") + one(second))
    job = operations.confirm(job, leave_out_bad=False, by=job.created_by)
    entries = JournalEntry.objects.count()
    insert = bulk.insert

    def killed(model, fields, rows):
        insert(model, fields, rows)
        if model is Repayment.history.model:
            raise KeyboardInterrupt

    monkeypatch.setattr(bulk, "insert", killed)
    with pytest.raises(KeyboardInterrupt):
        operations.apply(job, by=job.created_by, on=ON)

    job.refresh_from_db()
    assert job.status == "applying"
    assert (Repayment.objects.count(), Repayment.history.count()) == (0, 0)
    assert (JournalEntry.objects.count(), Payment.objects.count()) == (entries, 0)

    monkeypatch.setattr(bulk, "insert", insert)
    assert jobs.run_import(job.pk) == "done"
    assert jobs.run_import(job.pk) == "done"
    assert (Repayment.objects.count(), Payment.objects.count()) == (2, 1)
    books.prove()


def test_a_bug_marks_the_job_failed_and_is_not_hidden(monkeypatch):
    job = checked(HEADER + one(running()))
    job = operations.confirm(job, leave_out_bad=False, by=job.created_by)

    def broken(model, fields, rows):
        raise RuntimeError("disk")

    monkeypatch.setattr(bulk, "insert", broken)
    with pytest.raises(RuntimeError):
        operations.apply(job, by=job.created_by, on=ON)

    job.refresh_from_db()
    assert job.status == "failed"
    assert "nothing was imported" in job.error
    assert operations.check(job, on=ON).status == "checked"


def test_a_worker_checks_and_then_applies():
    job = uploaded(HEADER + one(running()))

    assert jobs.run_import(job.pk) == "checked"
    operations.confirm(job, leave_out_bad=False, by=job.created_by)
    assert jobs.run_import(job.pk) == "done"


def test_files_are_large_beyond_what_a_request_does(settings):
    settings.IMPORT_INLINE_ROWS = 2
    loan = running()

    small = uploaded(HEADER + one(loan) * 2)
    large = uploaded(HEADER + one(loan) * 5)

    assert (operations.is_large(small), operations.is_large(large)) == (False, True)


def test_each_kind_asks_for_its_own_permissions():
    people = {
        "kamau": factories.kamau(),
        "rehema": factories.staff("rehema", "Accountant"),
        "mutua": factories.mutua(),
    }

    kinds = {name: [k.code for k in operations.kinds_for(p)] for name, p in people.items()}

    assert kinds == {
        "kamau": ["schedule", "customers", "loans", "payments"],
        "rehema": ["schedule", "payments", "journals"],
        "mutua": ["payments"],
    }
    with pytest.raises(Refused, match="You may not import customers"):
        uploaded("phone,id_number\n0712345678,12345678\n", kind="customers", by=people["rehema"])


def test_own_files_are_seen_and_head_office_sees_all():
    job = uploaded(HEADER + one(running()))
    head = factories.staff("head", "Manager", branch=None)

    assert list(ImportJob.objects.seen_by(factories.kamau())) == [job]
    assert list(ImportJob.objects.seen_by(head)) == [job]
    assert list(ImportJob.objects.seen_by(factories.achieng())) == []


@pytest.mark.parametrize("kind", list(operations.KINDS))
def test_the_template_of_a_kind_has_its_columns_and_two_lines(kind):
    lines = list(csv.reader(operations.template(kind).splitlines()))

    assert len(lines) == 3
    assert {len(line) for line in lines} == {len(lines[0])}
    assert set(operations.KINDS[kind].required) <= set(lines[0])
    by = factories.staff("rehema", "Accountant") if kind == "journals" else factories.kamau()
    assert uploaded(operations.template(kind), kind=kind, by=by).rows == 2


def test_every_pair_of_statuses_is_taken_or_refused():
    job = uploaded(HEADER + one(running()))
    for before in ImportJob.Status:
        for after in ImportJob.Status:
            job.status = before
            if after in ImportJob.NEXT.get(before, ()):
                job.move_to(after, by=job.created_by, reason="test")
                assert job.status == after
            else:
                with pytest.raises(Refused):
                    job.move_to(after, by=job.created_by, reason="test")
