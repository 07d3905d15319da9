"""Badges whose colour follows a number."""

from django.utils.html import format_html

# Days past due: amber, orange, red.
TONES = ((30, "amber"), (90, "orange"))


def late_badge(days: int) -> str:
    """Return the days late as a coloured badge, or a dash when nothing is late."""
    if not days:
        return "-"
    tone = next((name for most, name in TONES if days <= most), "red")
    return format_html('<span class="office-late office-late-{}">{}</span>', tone, days)
