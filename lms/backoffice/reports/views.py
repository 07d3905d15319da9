"""One page for all reports, and one door for their files."""

from django.conf import settings
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.text import slugify

from lms import dates
from lms.backoffice.reports.catalogue import PAGES, Page, may_ask
from lms.backoffice.reports.forms import ReportForm
from lms.backoffice.reports.links import address
from lms.reports.files import FORMATS
from lms.reports.shape import WHOLE, Report, Window

PER_PAGE = 100


def show(request: HttpRequest, name: str) -> HttpResponse:
    """Show one report, of the days and branch in the address."""
    page, form = _opened(request, name)
    number = _page_number(request)
    window = Window((number - 1) * PER_PAGE, PER_PAGE) if page.is_long else WHOLE
    report = page.ask(form, window) if form.is_valid() else None
    return _render(request, name, form, report, number=number)


def download(request: HttpRequest, name: str, extension: str) -> HttpResponse:
    """Send one report as a file: the whole of it, with the figures of the page."""
    page, form = _opened(request, name)
    if extension not in FORMATS:
        raise Http404
    if not form.is_valid():
        return _render(request, name, form)
    kind = FORMATS[extension]
    report = page.ask(form, Window(0, kind.most) if page.is_long else WHOLE)
    if (report.lines or 0) > kind.most:
        refusal = (
            f"{report.lines:,} lines are too many for one {kind.label} file, which takes "
            f"{kind.most:,}: choose fewer days."
        )
        return _render(request, name, form, refusal=refusal)
    made = f"{request.user}, {dates.show(dates.today())} {dates.now():%H:%M}"
    content = kind.write(report, lender=settings.LENDER_NAME, made=made)
    response = HttpResponse(content, content_type=kind.content_type)
    filename = slugify(" ".join((report.title, *report.about)))
    response["Content-Disposition"] = f'attachment; filename="{filename}.{extension}"'
    response["Cache-Control"] = "private, no-store"
    return response


def _opened(request: HttpRequest, name: str) -> tuple[Page, ReportForm]:
    """Return a report's page and its answers. Raises for what is none, or not for this person."""
    if name not in PAGES:
        raise Http404
    if not may_ask(request.user, name):
        raise PermissionDenied
    page = PAGES[name]
    return page, page.form(request.GET, staff=request.user, on=dates.today())


def _render(
    request: HttpRequest,
    name: str,
    form: ReportForm,
    report: Report | None = None,
    *,
    number: int = 1,
    refusal: str = "",
) -> HttpResponse:
    query = request.GET.copy()
    query.pop("page", None)
    asked = f"?{query.urlencode()}" if query else ""
    context = {
        **admin.site.each_context(request),
        "title": PAGES[name].title,
        "about": PAGES[name].about,
        "form": form,
        "show_errors": bool(request.GET),
        "refusal": refusal,
        "presets": [
            (title, _with(request, answers)) for title, answers in form.presets(dates.today())
        ],
        "report": report,
        "rows": _linked(request, report) if report else (),
        "files": [
            (kind.label, reverse("report_file", args=[name, extension]) + asked)
            for extension, kind in FORMATS.items()
        ],
        "pager": _pager(request, report, number) if report and report.lines else None,
    }
    return TemplateResponse(request, "admin/reports/report.html", context)


def _linked(request: HttpRequest, report: Report) -> list[tuple]:
    """Return each row with its cells: value, address it leads to, and what its column holds."""
    kinds = [column.kind for column in report.columns]
    return [
        (
            row,
            [
                (cell.value, address(request, cell.target), kind)
                for cell, kind in zip(row.cells, kinds, strict=True)
            ],
        )
        for row in report.rows
    ]


def _page_number(request: HttpRequest) -> int:
    text = request.GET.get("page", "")
    return max(int(text), 1) if text.isascii() and text.isdigit() and len(text) < 8 else 1


def _with(request: HttpRequest, answers: dict[str, object]) -> str:
    """Return this address with other answers, on its first page."""
    query = request.GET.copy()
    query.pop("page", None)
    for name, answer in answers.items():
        query[name] = str(answer)
    return f"?{query.urlencode()}"


def _pager(request: HttpRequest, report: Report, number: int) -> dict:
    """Return which lines are shown, and the ways to those before and after."""
    last = -(-report.lines // PER_PAGE)
    return {
        "first": min((number - 1) * PER_PAGE + 1, report.lines),
        "last": min(number * PER_PAGE, report.lines),
        "lines": report.lines,
        "before": _with(request, {"page": number - 1}) if 1 < number <= last else "",
        "after": _with(request, {"page": number + 1}) if number < last else "",
    }
