"""How the site presents itself: its colours and the label that says which office this is."""

from django.conf import settings
from django.http import HttpRequest
from django.templatetags.static import static

# Teal, one step darker than usual from 500 on, so that white text on it meets WCAG AA.
TEAL = {
    "50": "oklch(98.4% .014 180.72)",
    "100": "oklch(95.3% .051 180.8)",
    "200": "oklch(91% .096 180.43)",
    "300": "oklch(85.5% .138 181.07)",
    "400": "oklch(77.7% .152 181.91)",
    "500": "oklch(60% .118 184.7)",
    "600": "oklch(51.1% .096 186.39)",
    "700": "oklch(43.7% .078 188.22)",
    "800": "oklch(38.6% .063 188.42)",
    "900": "oklch(33% .054 190)",
    "950": "oklch(27.7% .046 192.52)",
}
LABEL_COLOURS = {"production": "success", "sandbox": "info", "demo": "warning"}


def palette(request: HttpRequest) -> dict[str, str]:
    return dict(TEAL)


def environment(request: HttpRequest) -> list[str]:
    """Return the label beside the title, and its colour."""
    name = settings.LMS_ENVIRONMENT
    return [name, LABEL_COLOURS.get(name.lower(), "info")]


def stylesheet(request: HttpRequest) -> str:
    return static("backoffice/office.css")
