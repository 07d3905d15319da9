"""The schedules an office starts with. Staff edit them in the admin; each is created once."""

from datetime import datetime

from croniter import croniter

SCHEDULES = (
    {"name": "Draft recurring journals", "func": "lms.jobs.draft_journals", "cron": "15 0 * * *"},
    {"name": "Close the day", "func": "lms.jobs.close_day", "cron": "30 0 * * *"},
    {"name": "Send waiting messages", "func": "lms.jobs.deliver_messages", "minutes": 1},
    {"name": "Ask Safaricom about open pushes", "func": "lms.jobs.query_pushes", "minutes": 1},
    {
        "name": "Apply callbacks a crash left",
        "func": "lms.jobs.apply_waiting_callbacks",
        "minutes": 5,
    },
    {
        "name": "Place payments a crash left",
        "func": "lms.jobs.settle_unallocated",
        "minutes": 10,
    },
)


def seed(schedule_model, *, now: datetime) -> None:
    """Create the schedules that are missing, planned for their next time after `now`."""
    for plan in SCHEDULES:
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
