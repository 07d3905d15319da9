"""`manage.py demo`, from outside: what a newcomer types, and what they find."""

import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.request
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from django.conf import settings

from lms import dates
from lms.backoffice.demo.people import PASSWORD, STAFF

# With -n all of it is one worker's: the story is told once.
pytestmark = [pytest.mark.processes, pytest.mark.xdist_group("demo")]

ROOT = Path(settings.BASE_DIR)
PATIENCE = 400  # seconds; the data alone takes fifty on a quiet machine
# What two stories of the same day must have in common: so many rows, so much money.
SUMS = {
    "customers_customer": "count(*)",
    "loans_loan": "count(*), sum(principal)",
    "loans_repayment": "count(*), sum(principal_paid), sum(interest), sum(penalties)",
    "loans_allocation": "count(*), sum(amount)",
    "loans_waiver": "count(*), sum(amount)",
    "payments_payment": "count(*), sum(amount), sum(credited)",
    "ledger_transfer": "count(*), sum(amount)",
    "referrals_referralreward": "count(*), sum(amount)",
    "mpesa_callback": "count(*), sum(amount)",
    "mpesa_mpesapayment": "count(*), sum(amount)",
    "notifications_message": "count(*)",
    "loans_historicalrepayment": "count(*)",
}


def start(folder: Path, *arguments: str) -> subprocess.Popen:
    """Start the demo on a database in a folder of its own."""
    return subprocess.Popen(
        [sys.executable, ROOT / "manage.py", "demo", *arguments],
        env={**os.environ, "DATABASE_URL": f"sqlite:///{folder}/demo.sqlite3"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def run(folder: Path, *arguments: str) -> tuple[int, str]:
    """Return the exit code of a demo that ends by itself, and what it said."""
    process = start(folder, *arguments)
    said, _ = process.communicate(timeout=PATIENCE)
    return process.returncode, said


def ask(folder: Path, sql: str) -> list[tuple]:
    with closing(sqlite3.connect(folder / "demo.sqlite3")) as database:
        return database.execute(sql).fetchall()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def descendants(pid: int) -> set[int]:
    found = set()
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        found |= {int(child)} | descendants(int(child))
    return found


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def wait_until(is_so, seconds: float = PATIENCE) -> bool:
    until = time.monotonic() + seconds
    while not is_so():
        if time.monotonic() > until:
            return False
        time.sleep(0.1)
    return True


@contextmanager
def office(folder: Path):
    """An open office: its process, its address, everything it said, and its processes."""
    port = free_port()
    process = start(folder, "--port", str(port))
    said = ""
    try:
        while line := process.stdout.readline():
            said += line
            if "Ctrl-C stops everything" in line:
                break
        assert process.poll() is None, said
        yield process, f"http://127.0.0.1:{port}", said, descendants(process.pid)
    finally:
        process.kill()
        process.communicate(timeout=PATIENCE)


@pytest.fixture(scope="module")
def told(tmp_path_factory) -> tuple[Path, Path]:
    """Two folders with the same story, told at the same time."""
    folders = tmp_path_factory.mktemp("one"), tmp_path_factory.mktemp("two")
    processes = [start(folder, "--data-only") for folder in folders]
    for process in processes:
        said, _ = process.communicate(timeout=PATIENCE)
        assert process.returncode == 0, said
        assert "The data was made" in said
    return folders


@pytest.fixture
def folder(told) -> Path:
    return told[0]


def test_the_story_has_its_people_and_loans_in_every_state(folder):
    branches = ask(folder, "SELECT code FROM staff_branch ORDER BY code")
    staff = ask(folder, "SELECT username FROM staff_staff ORDER BY id")
    states = dict(ask(folder, "SELECT status, count(*) FROM loans_loan GROUP BY status"))
    methods = dict(ask(folder, "SELECT method, count(*) FROM loans_loan GROUP BY method"))
    ((oldest,),) = ask(folder, "SELECT min(disbursed_on) FROM loans_loan WHERE closed_on > ''")

    assert branches == [("DEMOKSM",), ("DEMONRB",)]
    assert [name for (name,) in staff] == list(STAFF)
    assert ask(folder, "SELECT count(*) FROM customers_customer") == [(320,)]
    assert set(states) == {
        "draft", "submitted", "approved", "active", "closed", "rejected", "withdrawn",
        "written_off",
    }  # fmt: skip
    assert set(methods) == {
        "flat",
        "declining_equal_instalments",
        "declining_equal_principal",
        "interest_only",
        "single_payment",
    }
    assert (dates.today() - dates.day_of(oldest)).days > 400


def test_about_one_running_loan_in_six_is_late_and_every_bucket_is_there(folder):
    rows = ask(
        folder,
        "SELECT julianday(date('now', '+3 hours')) - julianday(overdue_since) "
        "FROM loans_position JOIN loans_loan ON loans_loan.id = loan_id WHERE status = 'active'",
    )
    late = [days for (days,) in rows if days and days > 0]

    assert 0.10 <= len(late) / len(rows) <= 0.20
    for first, last in ((1, 7), (8, 30), (31, 90), (91, 400)):
        assert any(first <= days <= last for days in late), (first, last)


def test_the_story_has_what_goes_wrong_in_a_real_office(folder):
    payments = {
        row[:2]
        for row in ask(
            folder, "SELECT method, status FROM payments_payment GROUP BY method, status"
        )
    }
    pushes = {row[0] for row in ask(folder, "SELECT DISTINCT status FROM mpesa_mpesapayment")}
    callbacks = {row[0] for row in ask(folder, "SELECT DISTINCT status FROM mpesa_callback")}

    assert {(method, "allocated") for method in ("cash", "mpesa", "bank", "opening")} <= payments
    assert ("mpesa", "unallocated") in payments
    assert any(status == "reversed" for _, status in payments)
    assert pushes == {"paid", "failed", "cancelled", "timed_out", "sent"}
    assert callbacks == {"applied", "duplicate", "ignored", "review"}
    for table in ("loans_waiver", "loans_penalty", "loans_guarantor", "loans_collateral"):
        assert ask(folder, f"SELECT count(*) > 5 FROM {table}") == [(1,)], table
    assert ask(folder, "SELECT count(*) > 0 FROM loans_repayment WHERE status = 'cancelled'") == [
        (1,)
    ]
    assert ask(folder, "SELECT status, wrong FROM imports_importjob") == [("done", 0)]
    assert ask(folder, "SELECT status FROM mpesa_reversal") == [("done",)]
    assert ask(folder, "SELECT count(*) FROM staff_approval WHERE kind = 'reverse_mpesa'") == [(2,)]
    rewards = ask(folder, "SELECT DISTINCT status FROM referrals_referralreward ORDER BY status")
    assert rewards == [("approved",), ("proposed",)]
    assert ask(folder, "SELECT count(*) > 20 FROM notifications_message WHERE status = 'sent'") == [
        (1,)
    ]


def test_records_bear_the_time_at_which_they_happened(folder):
    apart = ask(
        folder,
        "SELECT count(*) FROM payments_payment WHERE method <> 'opening' "
        "AND value_date <> date(received_at, '+3 hours')",
    )

    assert apart == [(0,)]


def test_nobody_approves_their_own_loan_or_pays_out_what_they_approved(folder):
    own = ask(
        folder,
        "SELECT count(*) FROM loans_loan l LEFT JOIN payments_payout p "
        "ON p.subject = printf('LN%06d', l.id) "
        "WHERE l.approved_by_id IN (l.created_by_id, l.submitted_by_id, p.paid_by_id)",
    )

    assert own == [(0,)]


def test_two_stories_of_one_day_are_the_same(told):
    one, two = (
        {table: ask(folder, f"SELECT {sums} FROM {table}") for table, sums in SUMS.items()}
        for folder in told
    )

    assert one == two


def test_a_database_with_real_data_is_refused_and_not_touched(tmp_path):
    with closing(sqlite3.connect(tmp_path / "demo.sqlite3")) as database:
        database.execute("PRAGMA journal_mode=WAL")  # as every database of the office is
        database.execute("CREATE TABLE staff_branch (id integer, code text, phone text)")
        database.execute("INSERT INTO staff_branch VALUES (1, 'NRB', '')")
        database.commit()
    before = (tmp_path / "demo.sqlite3").read_bytes()

    for arguments in (["--data-only"], ["--data-only", "--fresh"]):
        code, said = run(tmp_path, *arguments)

        assert code == 1
        assert "holds the branch NRB, which is not of the demo" in said
        assert "nothing was written" in said
    assert (tmp_path / "demo.sqlite3").read_bytes() == before


def test_a_port_that_is_taken_is_said_before_anything_is_made(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        code, said = run(tmp_path, "--port", str(taken.getsockname()[1]))

    assert code == 1
    assert "is in use by another program" in said
    assert not (tmp_path / "demo.sqlite3").exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_serves_tells_the_logins_and_stops_everything_when_told(folder, number):
    before = ask(folder, "SELECT count(*) FROM ledger_transfer")
    with office(folder) as (process, url, said, children):
        with urllib.request.urlopen(f"{url}/admin/login/") as page:
            assert page.status == 200
        with urllib.request.urlopen(f"{url}/static/unfold/css/styles.css") as sheet:
            assert sheet.status == 200
        assert "Going on with the data that is there" in said
        assert url in said
        assert PASSWORD in said
        assert all(name in said for name in STAFF)
        assert len(children) >= 5

        process.send_signal(number)
        last, _ = process.communicate(timeout=PATIENCE)

        assert process.returncode == 0
        assert "Stopped." in last
    assert [pid for pid in children if is_alive(pid)] == []
    assert ask(folder, "SELECT count(*) FROM ledger_transfer") == before


def test_when_it_is_killed_nothing_stays_behind(folder):
    with office(folder) as (process, _, _, children):
        process.kill()

        assert wait_until(lambda: not any(is_alive(pid) for pid in children), 30)


def test_when_one_process_dies_all_stop_and_it_says_which(folder):
    with office(folder) as (process, _, _, children):
        simulator = next(
            pid
            for pid in children
            if "daraja_simulator" in Path(f"/proc/{pid}/cmdline").read_text()
        )
        os.kill(simulator, signal.SIGKILL)
        last, _ = process.communicate(timeout=PATIENCE)

        assert process.returncode == 1
        assert "The simulator stopped, so everything was stopped." in last
    assert [pid for pid in children if is_alive(pid)] == []
