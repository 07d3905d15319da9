"""Journals that come back: drafts of what is due by a day, once per template and month."""

from datetime import date, timedelta

from django.db import transaction
from django.db.models import QuerySet

from lms.ledger.journals import next_period, wanted, write
from lms.ledger.models import JournalTemplate, ManualJournal


def due(templates: QuerySet[JournalTemplate], *, until: date) -> list[tuple[JournalTemplate, date]]:
    """Return the active templates with the dates up to a day that have no journal yet."""
    active = templates.filter(is_active=True).prefetch_related("journals").order_by("pk")
    return [
        (template, day)
        for template in active
        for day in template.days(until=until)
        if day.replace(day=1) not in {each.template_month for each in template.journals.all()}
    ]


def draft_due(templates: QuerySet[JournalTemplate], *, until: date, by=None) -> list[ManualJournal]:
    """Draft the journals of active templates dated up to a day that are not drafted yet.

    Run twice it makes nothing, run late it catches up. What was withdrawn does not come again.
    """
    with transaction.atomic():
        # Who runs it at the same time waits here, and then finds nothing left to do.
        list(JournalTemplate.objects.select_for_update().order_by("pk").values_list("pk"))
        return [_draft(template, day, by=by) for template, day in due(templates, until=until)]


def _draft(template: JournalTemplate, day: date, *, by) -> ManualJournal:
    return write(
        date=day,
        narration=f"{template.narration}, {day:%B %Y}"[:160],
        branch=template.branch,
        lines=[wanted(line) for line in template.lines.select_related("branch")],
        by=by,
        reason=f"Drafted from {template.name}",
        reverses_next_period=template.reverses_next_period,
        template=template,
        template_month=day.replace(day=1),
    )


def end_of_month(day: date) -> date:
    """Return the last day of the month of `day`."""
    return next_period(day) - timedelta(days=1)
