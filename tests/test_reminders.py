"""The reminder jobs: each instalment once per occasion, whatever night the worker missed."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
import time_machine
from django.core.management import CommandError, call_command

from lms import dates, jobs, routing
from lms.closing import reminders
from lms.closing.models import DayClose
from lms.closing.operations import close_day
from lms.notifications.models import Message
from tests import factories

D = Decimal
NOON = datetime(2026, 2, 12, 9, tzinfo=UTC)  # 12:00 in Nairobi


@pytest.fixture(autouse=True)
def _noon():
    with time_machine.travel(NOON, tick=False):
        yield


@pytest.fixture
def loan(db):
    """Instalment 1 falls due on 15 February 2026."""
    return factories.active()


def tell(occasion: str, *, on: str) -> int:
    return reminders.remind(on=date.fromisoformat(on), now=NOON, occasions=[occasion])


def keys():
    return sorted(Message.objects.values_list("key", flat=True))


def first(loan):
    return loan.repayments.get(number=1)


def test_an_instalment_due_in_three_days_is_announced_once(loan):
    assert tell("upcoming", on="2026-02-11") == 0
    assert tell("upcoming", on="2026-02-12") == 1
    assert tell("upcoming", on="2026-02-12") == 0

    message = Message.objects.get()
    assert message.body == (
        f"Dear Wanjiku, KES 9,456.00 on loan {loan.number} is due on 15 Feb 2026. "
        f"Pay by M-Pesa paybill 174379, account {loan.number}. Pesa Kwanza Credit"
    )
    assert message.recipient == "254712345678"


def test_an_instalment_due_today_is_told_on_the_day(loan):
    assert tell("due_today", on="2026-02-15") == 1
    assert tell("due_today", on="2026-02-16") == 0


def test_the_close_of_a_day_queues_the_reminders_of_the_next_morning_once(loan):
    close_day(date(2026, 2, 11))

    assert keys() == [f"upcoming:repayment:{first(loan).pk}:2026-02-15:sms"]
    assert DayClose.objects.get(step="reminders").rows == 1
    close_day(date(2026, 2, 11), again=True)
    tell("upcoming", on="2026-02-12")
    assert Message.objects.count() == 1
    assert list(DayClose.objects.values_list("step", flat=True))[-1] == "reminders"


def test_a_night_that_was_missed_queues_nothing_for_a_morning_that_is_over(loan):
    close_day(date(2026, 2, 10))  # in the morning of the 12th, that of the 11th is over

    with time_machine.travel(datetime(2026, 2, 20, 9, tzinfo=UTC), tick=False):
        close_day(date(2026, 2, 11))
        close_day(date(2026, 2, 12))
        assert dates.today() == date(2026, 2, 20)

    assert keys() == []


def test_when_reminders_leave_is_a_setting(loan, settings):
    settings.REMIND_DAYS_BEFORE, settings.REMIND_DAYS_LATE = 5, [2]
    settings.REMIND_THEN_EVERY = 10

    assert tell("upcoming", on="2026-02-10") == 1
    told = [on for on in range(16, 29) if tell("overdue", on=f"2026-02-{on}")]
    assert told == [17, 27]


def test_lateness_is_told_on_days_1_3_7_and_then_weekly(loan):
    told = [
        late
        for late in range(30)
        if tell("overdue", on=(first(loan).due_date + timedelta(late)).isoformat())
        and Message.objects.filter(about=f"{loan.number} instalment 1").exists()
    ]

    assert told[:6] == [1, 3, 7, 14, 21, 28]


def test_a_missed_day_is_caught_up_once_and_old_occasions_are_not(loan):
    assert tell("overdue", on="2026-02-20") == 1  # day 5: the one of day 3
    assert tell("overdue", on="2026-02-21") == 0
    assert tell("overdue", on="2026-02-22") == 1  # day 7

    row = first(loan)
    assert keys() == [f"overdue:repayment:{row.pk}:2026-02-15:{day}:sms" for day in (3, 7)]


def test_what_is_paid_before_the_reminder_leaves_is_not_reminded(loan, monkeypatch):
    tell("upcoming", on="2026-02-12")
    routing.take(
        method="cash", amount=D(9456), reference=None, value_date=NOON.date(),
        account=loan.number, by=factories.mutua(), on=NOON.date(),
    )  # fmt: skip

    jobs.withdraw_settled()

    assert Message.objects.get().status == Message.Status.CANCELLED


def test_only_active_loans_are_reminded(loan):
    routing.take(
        method="cash", amount=D(113470), reference=None, value_date=NOON.date(),
        account=loan.number, by=factories.mutua(), on=NOON.date(),
    )  # fmt: skip

    assert tell("upcoming", on="2026-02-12") == 0


def test_the_command_reminds_and_says_what_it_did(loan, capsys):
    call_command("send_reminders", "--date", "2026-02-12", "--queue-only")

    assert capsys.readouterr().out.splitlines() == [
        "upcoming: 1 new reminder queued",
        "due_today: 0 new reminders queued",
        "overdue: 0 new reminders queued",
    ]
    with pytest.raises(CommandError, match="not a day like"):
        call_command("send_reminders", "--date", "12/2/2026")


def test_a_receipt_is_told_once_a_payment(loan):
    payment = routing.take(
        method="cash", amount=D(9456), reference=None, value_date=NOON.date(),
        account=loan.number, by=factories.mutua(), on=NOON.date(),
    )  # fmt: skip

    routing.tell(payment, now=NOON)
    routing.tell(payment, now=NOON)

    assert [(m.occasion, m.about) for m in Message.objects.all()] == [
        ("payment_received", loan.number)
    ]
    assert "Balance KES 104,014.00" in Message.objects.get().body
