"""Where a figure leads: the address of a report or of a record's page, for those who may go."""

from urllib.parse import urlencode

from django.http import HttpRequest
from django.urls import reverse

from lms.backoffice.reports.catalogue import may_ask
from lms.backoffice.sidebar import may_see
from lms.reports.shape import Target

REPORT = "report:"


def address(request: HttpRequest, target: Target | None) -> str:
    """Return the address of a target, empty for none and where this person may not go."""
    if target is None:
        return ""
    if target.page.startswith(REPORT):
        name = target.page.removeprefix(REPORT)
        if not may_ask(request.user, name):
            return ""
        return f"{reverse('report', args=[name])}?{urlencode(target.answers)}"
    if not may_see(request, target.page):
        return ""
    return reverse(f"admin:{target.page.replace('.', '_')}_change", args=[target.key])
