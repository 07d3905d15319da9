"""The schedules an office starts with. Staff edit them in the admin; each is created once."""

from collections.abc import Collection
from datetime import datetime

from croniter import croniter

SCHEDULES = (
    {"name": "Draft recurring journals", "func": "lms.jobs.draft_journals", "cron": "15 0 * * *"},
    {"name": "Close the day", "func": "lms.jobs.close_day", "cron": "30 0 * * *"},
    {"name": "Send waiting messages", "func": "lms.jobs.deliver_messages", "minutes": 1},
    {"name": "Ask Safaricom about open pushes", "func": "lms.jobs.query_pushes", "minutes": 1},
    {"name": "See to payouts by M-Pesa", "func": "lms.jobs.see_to_payouts", "minutes": 1},
    {
        "name": "Apply callbacks a crash left",
        "func": "lms.jobs.apply_waiting_callbacks",
        "minutes": 1,
    },
    {
        "name": "Place payments a crash left",
        "func": "lms.jobs.settle_unallocated",
        "minutes": 10,
    },
    {"name": "Ask for M-Pesa balances", "func": "lms.jobs.poll_balances", "minutes": 15},
    {
        "name": "Follow money that goes back",
        "func": "lms.jobs.follow_reversals",
        "minutes": 1,
    },
    {"name": "Pull missed M-Pesa payments", "func": "lms.jobs.pull_missed", "minutes": 30},
    {
        "name": "Forget old requests to Daraja",
        "func": "lms.jobs.forget_daraja_requests",
        "cron": "40 2 * * *",
    },
)


def seed(schedule_model, *, now: datetime, names: Collection[str] | None = None) -> None:
    """Create the schedules that are missing, planned for their next time after `now`.

    `names` are those that are new to an office which has the others, or took them away.
    """
    for plan in SCHEDULES:
        if names is not None and plan["name"] not in names:
            continue
        cron = plan.get("cron")
        schedule_model.objects.get_or_create(
            name=plan["name"],
            defaults={
                "func": plan["func"],
                "kwargs": plan.get("kwargs"),
                "schedule_type": "C" if cron else "I",
                "cron": cron,
                "minutes": plan.get("minutes"),
                "repeats": -1,
                "next_run": croniter(cron, now).get_next(datetime) if cron else now,
                "intended_date_kwarg": "on" if cron else None,
            },
        )
