"""The sidebar, by job: what a person may see, with badges for the work that waits."""

from typing import NamedTuple

from django.apps import apps
from django.contrib import admin
from django.http import HttpRequest, QueryDict
from django.urls import reverse

from lms import dates
from lms.backoffice import figures
from lms.backoffice.reports.catalogue import PAGES as REPORTS
from lms.backoffice.reports.catalogue import may_ask


class Entry(NamedTuple):
    """One line: a list page, or with `query` the part of it that is somebody's work."""

    title: str
    model: str
    icon: str
    query: str = ""
    badge: str = ""
    tone: str = "warning"

    @property
    def url(self) -> str:
        return list_url(self.model, self.query)

    def is_open_to(self, request: HttpRequest) -> bool:
        return may_see(request, self.model)

    def fits(self, request: HttpRequest) -> bool:
        """Tell whether the person is on this page, and on this part of it."""
        wanted = QueryDict(self.query).items()
        on_page = page_of(self.model) and request.path.startswith(list_url(self.model))
        return bool(on_page) and all(request.GET.get(name) == value for name, value in wanted)


class OwnEntry(NamedTuple):
    """One line that leads a person to what is their own, for those with the permission."""

    title: str
    view: str
    icon: str
    permission: str
    query: str = ""
    badge: str = ""

    @property
    def url(self) -> str:
        return reverse(f"admin:{self.view}")

    def is_open_to(self, request: HttpRequest) -> bool:
        return request.user.has_perm(self.permission)

    def fits(self, request: HttpRequest) -> bool:
        return request.path == self.url


class ReportEntry(NamedTuple):
    """One line that leads to a report."""

    name: str
    query: str = ""
    badge: str = ""

    @property
    def title(self) -> str:
        return REPORTS[self.name].title

    @property
    def icon(self) -> str:
        return REPORTS[self.name].icon

    @property
    def url(self) -> str:
        return reverse("report", args=[self.name])

    def is_open_to(self, request: HttpRequest) -> bool:
        return may_ask(request.user, self.name)

    def fits(self, request: HttpRequest) -> bool:
        return request.path == self.url


GROUPS: tuple[tuple[str, tuple[Entry | OwnEntry | ReportEntry, ...]], ...] = (
    (
        "Customers",
        (
            Entry("Customers", "customers.customer", "group"),
            Entry(
                "KYC to verify",
                "customers.customer",
                "how_to_reg",
                query="kyc_status__exact=pending",
            ),
            Entry("Referral rewards", "referrals.referralreward", "redeem", badge="rewards"),
        ),
    ),
    (
        "Lending",
        (
            Entry("Loans", "loans.loan", "request_quote"),
            Entry(
                "To approve",
                "loans.loan",
                "approval",
                query="status=submitted",
                badge="submitted",
            ),
            Entry(
                "To disburse",
                "loans.loan",
                "send_money",
                query="status=approved",
                badge="approved",
            ),
            Entry("Repayments", "loans.repayment", "event_repeat"),
            Entry(
                "Overdue",
                "loans.repayment",
                "running_with_errors",
                query="state=overdue",
                badge="overdue",
                tone="danger",
            ),
            Entry("Changes of loans", "loans.loanchange", "history_edu"),
            Entry("Penalties", "loans.penalty", "gavel"),
            Entry("Waivers", "loans.waiver", "volunteer_activism"),
            Entry("Death claims", "loans.deathclaim", "deceased"),
            Entry("Issued documents", "loans.issueddocument", "description"),
            Entry("Guarantors", "loans.guarantor", "handshake"),
            Entry("Collateral", "loans.collateral", "directions_car"),
            Entry("Snapshots", "loans.loansnapshot", "photo_library"),
            Entry("Provisions", "loans.provision", "shield"),
            Entry("Loan products", "loans.loanproduct", "sell"),
            Entry("Product versions", "loans.productversion", "contract_edit"),
        ),
    ),
    (
        "Money",
        (
            Entry("Payments", "payments.payment", "payments"),
            Entry(
                "Unallocated",
                "payments.payment",
                "help_center",
                query="status__exact=unallocated",
                badge="unallocated",
            ),
            Entry("M-Pesa requests", "mpesa.mpesapayment", "phone_iphone", badge="pushes"),
            Entry("M-Pesa inbox", "mpesa.callback", "inbox", badge="callbacks"),
            Entry(
                "M-Pesa balances",
                "mpesa.mpesabalance",
                "account_balance_wallet",
                query="is_latest__exact=1",
            ),
            Entry("M-Pesa inquiries", "mpesa.inquiry", "travel_explore"),
            Entry("M-Pesa reversals", "mpesa.reversal", "undo", badge="reversals"),
            Entry("M-Pesa pulls", "mpesa.pull", "move_to_inbox"),
            Entry("Payouts", "payments.payout", "outbound", badge="payouts"),
            Entry("M-Pesa payouts", "mpesa.b2cpayment", "send_to_mobile", badge="b2c"),
            Entry("Payout batches", "payouts.payoutbatch", "playlist_add_check"),
            Entry("Reconciliations", "reconciliation.reconciliation", "balance"),
            Entry(
                "Statement lines",
                "reconciliation.statementline",
                "receipt_long",
                badge="unreconciled",
            ),
            Entry("Statements", "reconciliation.statementfile", "upload_file"),
            Entry(
                "Approvals",
                "staff.approval",
                "verified_user",
                query="status__exact=waiting",
                badge="approvals",
            ),
            Entry("Manual journals", "ledger.manualjournal", "edit_document"),
            Entry("Journal templates", "ledger.journaltemplate", "event_repeat"),
            Entry("Journal", "ledger.journalentry", "menu_book"),
            Entry("Transfers", "ledger.transfer", "swap_horiz"),
            Entry("Accounts", "ledger.account", "account_tree"),
            Entry("Posting profiles", "ledger.postingprofile", "alt_route"),
            Entry("Months of the books", "ledger.period", "event_available"),
            Entry("Proofs of the books", "closing.proof", "fact_check"),
        ),
    ),
    (
        "Cash",
        (
            OwnEntry(
                "My drawer",
                "tills_drawersession_mine",
                "point_of_sale",
                "tills.use_drawersession",
            ),
            Entry("Drawers", "tills.drawersession", "inbox_customize", badge="left_open"),
            Entry(
                "Differences",
                "tills.drawersession",
                "balance",
                query="status__exact=counted",
                badge="differences",
            ),
            Entry("Between drawers", "tills.tilltransfer", "sync_alt", badge="handovers"),
            Entry("Banking", "tills.banking", "account_balance", badge="bankings"),
            Entry("Funds transfers", "tills.fundstransfer", "compare_arrows"),
        ),
    ),
    (
        "Messages",
        (
            Entry("Outbox", "notifications.message", "outgoing_mail", badge="messages"),
            Entry("Templates", "notifications.messagetemplate", "edit_note"),
        ),
    ),
    ("Reports", tuple(map(ReportEntry, REPORTS))),
    (
        "Settings",
        (
            Entry("Imports", "imports.importjob", "upload_file"),
            Entry("Bank statement layouts", "reconciliation.banklayout", "view_column"),
            Entry("Staff", "staff.staff", "badge"),
            Entry("Roles", "auth.group", "admin_panel_settings"),
            Entry("Branches", "staff.branch", "store"),
            Entry("Holidays", "staff.holiday", "beach_access"),
            Entry("Nightly close", "closing.dayclose", "bedtime"),
            Entry("Nightly failures", "closing.closefailure", "crisis_alert"),
            Entry("Provision tables", "loans.provisiontable", "table_view"),
            Entry("Daraja requests", "mpesa.darajarequest", "swap_vert"),
            Entry("Schedules", "django_q.schedule", "schedule"),
            Entry("Jobs done", "django_q.success", "task_alt"),
            Entry("Jobs failed", "django_q.failure", "error"),
        ),
    ),
)


def list_url(model: str, query: str = "") -> str:
    """Return the address of a list page; `model` is a label like "loans.loan"."""
    url = reverse(f"admin:{model.replace('.', '_')}_changelist")
    return f"{url}?{query}" if query else url


def page_of(model: str):
    """Return the admin page of a model, or None where it has none."""
    app, _, name = model.partition(".")
    found = apps.all_models[app].get(name)
    if found is None or not admin.site.is_registered(found):
        return None
    return admin.site.get_model_admin(found)


def may_see(request: HttpRequest, model: str) -> bool:
    """Tell whether the model has a page, and this person may look at it."""
    page = page_of(model)
    return page is not None and page.has_view_permission(request)


def waiting_work(request: HttpRequest) -> dict[str, int]:
    """Return how much of each kind of work waits, asked once for one page."""
    if not hasattr(request, "waiting_work"):
        staff, on = request.user, dates.today()
        request.waiting_work = figures.kept(
            "work", staff, on, lambda: figures.waiting_work(staff, on)
        )
    return request.waiting_work


def navigation(request: HttpRequest) -> list[dict]:
    """Return the groups of the sidebar for this person on the page they are on."""
    work = waiting_work(request)
    here = _here(request)
    groups = [
        {
            "title": title,
            "separator": True,
            "items": [
                _item(entry, work, is_here=entry is here)
                for entry in entries
                if entry.is_open_to(request)
            ],
        }
        for title, entries in GROUPS
    ]
    home = {
        "title": "Today",
        "icon": "today",
        "link": reverse("admin:index"),
        "active": request.path == reverse("admin:index"),
    }
    return [{"items": [home]}, *[group for group in groups if group["items"]]]


def _item(entry: Entry | OwnEntry | ReportEntry, work: dict[str, int], *, is_here: bool) -> dict:
    item = {
        "title": entry.title,
        "icon": entry.icon,
        "link": entry.url,
        "active": is_here,
    }
    if waiting := work.get(entry.badge):
        most = figures.MOST_COUNTED
        item["badge"] = f"{most}+" if waiting > most else str(waiting)
        item["badge_variant"] = entry.tone
    return item


def _here(request: HttpRequest) -> Entry | OwnEntry | ReportEntry | None:
    """Return the entry the person is on: of two with the same page, the one whose query fits."""
    best = None
    for _, entries in GROUPS:
        for entry in entries:
            if entry.fits(request) and (best is None or entry.query):
                best = entry
    return best
