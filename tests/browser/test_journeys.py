"""What staff do all day, in a real browser: lend, collect, waive, import, ask by M-Pesa."""

from datetime import timedelta
from decimal import Decimal

import pytest

from lms import dates, routing
from lms.customers.models import Customer
from lms.ledger import chart
from lms.ledger.models import ManualJournal, Transfer
from lms.loans.models import Loan, Repayment, Waiver
from lms.loans.operations import lifecycle
from lms.mpesa.models import MpesaPayment
from lms.payments.models import Payment
from tests import books, factories

D = Decimal


def running_loan(*, months_ago: int = 2, **fields) -> Loan:
    """A loan paid out some months before today, so that something is late."""
    day = dates.today() - timedelta(days=31 * months_ago)
    return factories.active(on=day, **fields)


def dialog(page, verb: str):
    """Open the dialog of an action from the top of a page and return it."""
    page.locator(f"a[hx-get*='/{verb}']:visible").first.click()
    return page.locator("#dialog")


def send(box, label: str, *, page, path: str = "") -> None:
    """Send a dialog and wait until the page has gone on."""
    with page.expect_navigation():
        box.get_by_role("button", name=label).click()


def press(page, label: str) -> None:
    """Press a button that leads to another page, and wait for that page."""
    with page.expect_navigation():
        page.get_by_role("button", name=label, exact=True).click()


def test_a_customer_is_registered_and_borrows(desk, office):
    product = factories.product()
    factories.kamau(), factories.mutua()
    officer = desk(factories.njeri())

    page = officer.open("/admin/customers/customer/add/")
    page.fill("input[name=first_name]", "Wanjiku")
    page.fill("input[name=last_name]", "Mwangi")
    page.fill("input[name=phone]", "0712 345 678")
    page.fill("input[name=id_number]", "12345678")
    if page.locator("select[name=branch]").count():
        page.select_option("select[name=branch]", label="Nairobi")
    press(page, "Save")
    customer = Customer.objects.get()
    assert customer.phone == "254712345678"

    manager = desk(factories.kamau())
    page = manager.open(f"/admin/customers/customer/{customer.pk}/change/")
    box = dialog(page, "verify")
    send(box, "Verify", page=page)
    customer.refresh_from_db()
    assert customer.kyc_status == Customer.Kyc.VERIFIED

    page = officer.open("/admin/loans/loan/add/")
    page.evaluate(
        """(customer) => {
            const field = document.querySelector('select[name=customer]');
            field.append(new Option('Wanjiku', customer, true, true));
            field.dispatchEvent(new Event('change', {bubbles: true}));
        }""",
        str(customer.pk),
    )
    page.select_option("select[name=product]", str(product.pk))
    page.fill("input[name=principal]", "100000")
    page.get_by_text("KES 113,470.00").first.wait_for()  # the schedule, before anything is saved
    assert Loan.objects.count() == 0
    press(page, "Save")
    loan = Loan.objects.get()

    page = officer.open(f"/admin/loans/loan/{loan.pk}/change/")
    send(dialog(page, "submit"), "Submit", page=page)
    page = manager.open(f"/admin/loans/loan/{loan.pk}/change/")
    send(dialog(page, "approve"), "Approve", page=page)
    cashier = desk(factories.mutua())
    page = cashier.open(f"/admin/loans/loan/{loan.pk}/change/")
    box = dialog(page, "disburse")
    box.get_by_text("the customer receives KES 100,000.00").wait_for()
    send(box, "Pay out", page=page)

    loan.refresh_from_db()
    assert loan.status == Loan.Status.ACTIVE
    assert loan.repayments.count() == 12
    books.prove()


def test_a_cashier_takes_money_and_prints_the_receipt(desk, office):
    loan = running_loan()
    cashier = desk(factories.mutua())

    page = cashier.open("/admin/payments/payment/add/")
    page.fill("input[name=account]", f"ln {loan.pk}")
    page.get_by_text("Wanjiku Mwangi").first.wait_for()
    page.fill("input[name=amount]", "5000")
    page.get_by_role("button", name="Save", exact=True).dblclick()
    page.wait_for_url("**/change/")

    payment = Payment.objects.get()
    assert payment.status == Payment.Status.ALLOCATED
    page.get_by_text("Balance of").first.wait_for()
    page = cashier.open(f"/admin/payments/payment/{payment.pk}/receipt/")
    assert page.get_by_text(f"Receipt {payment.number}").is_visible()
    books.prove()


def test_a_manager_waives_and_a_paid_instalment_says_so(desk, office):
    loan = running_loan()
    first, second = loan.repayments.filter(number__in=[1, 2])
    routing.take(
        method="cash",
        amount=D(9456),
        reference=None,
        value_date=dates.today(),
        account=loan.number,
        by=factories.mutua(),
        on=dates.today(),
    )
    manager = desk(factories.kamau())

    page = manager.open(f"/admin/loans/repayment/{second.pk}/change/")
    box = dialog(page, "waive")
    box.locator("[name=amount]").fill("100")
    box.locator("[name=reason]").fill("Flood in Kibera")
    send(box, "Waive", page=page)
    assert Waiver.objects.get().amount == D(100)

    page = manager.open(f"/admin/loans/repayment/{first.pk}/change/")
    box = dialog(page, "waive")
    box.locator("[name=reason]").fill("Again")
    box.get_by_role("button", name="Waive").click()
    box.get_by_text("Repayment is already paid.").wait_for()
    assert Waiver.objects.count() == 1
    books.prove()


def test_several_instalments_are_waived_at_once(desk, office):
    loan = running_loan(months_ago=4)
    manager = desk(factories.kamau())

    page = manager.open("/admin/loans/repayment/?state=overdue")
    late = page.locator("input.action-select").count()
    assert late >= 3
    page.locator("#action-toggle").check()
    page.locator("select[name=action]").select_option(label="Waive")
    press(page, "Run")
    page.locator("[name=reason]").fill("Drought in Kitui")
    press(page, "Waive")

    assert Waiver.objects.values("repayment").distinct().count() == late
    assert loan.repayments.filter(interest_waived__gt=0).count() == late
    books.prove()


def test_a_journal_is_typed_submitted_and_posted_by_another(desk, office):
    branch = factories.branch()
    accountant = desk(factories.staff("wambui", "Accountant"))
    factories.kamau()

    page = accountant.open("/admin/ledger/manualjournal/add/")
    page.fill("input[name=date]", f"{dates.today():%d/%m/%Y}")
    page.fill("input[name=narration]", "Rent of the office")
    if page.locator("select[name=branch]").count():
        page.select_option("select[name=branch]", label=str(branch))
    page.select_option("select[name='lines-0-account']", chart.RENT)
    page.fill("input[name='lines-0-debit']", "45000")
    page.select_option("select[name='lines-1-account']", chart.BANK)
    page.fill("input[name='lines-1-credit']", "44000")
    page.get_by_text("KES 1,000.00 more to credit").wait_for()
    page.fill("input[name='lines-1-credit']", "45000")
    page.get_by_text("None: it balances").wait_for()
    press(page, "Save")
    journal = ManualJournal.objects.get()

    page = accountant.open(f"/admin/ledger/manualjournal/{journal.pk}/change/")
    box = dialog(page, "submit")
    box.get_by_text("5120 Rent").first.wait_for()
    send(box, "Submit", page=page)
    assert not Transfer.objects.exists()

    manager = desk(factories.kamau())
    page = manager.open(f"/admin/ledger/manualjournal/{journal.pk}/change/")
    send(dialog(page, "approve"), "Post", page=page)

    entry = Transfer.objects.get()
    assert (entry.debit_id, entry.credit_id, entry.amount) == (chart.RENT, chart.BANK, D(45_000))
    books.prove()


def test_a_prompt_to_the_phone_is_paid_and_the_page_follows(desk, office):
    loan = running_loan()
    cashier = desk(factories.mutua())

    page = cashier.open(f"/admin/loans/loan/{loan.pk}/change/")
    box = dialog(page, "stk_push")
    box.locator("[name=amount]").fill("1000")
    send(box, "Send the prompt", page=page)
    page.locator(".office-live").get_by_text(f"KES 1,000.00 on {loan.number}").wait_for()

    push = MpesaPayment.objects.get()
    assert push.status == MpesaPayment.Status.PAID
    assert Payment.objects.get().amount == D(1000)
    books.prove()


def test_a_schedule_is_brought_in_from_a_spreadsheet(desk, office, tmp_path):
    day = dates.today() - timedelta(days=40)
    loan = factories.draft(D(10_000))
    lifecycle.take_over(
        loan, disbursed_on=day, with_schedule=False, by=factories.kamau(), on=dates.today()
    )
    due = [(day + timedelta(days=30 * n)).strftime("%d/%m/%Y") for n in (1, 2)]
    lines = ["loan;number;due_date;amount_due"]
    bad, good = tmp_path / "bad.csv", tmp_path / "good.csv"
    bad.write_text("\n".join([*lines, f"{loan.number};1;{due[0]};5,500", "LN999;2;x;5,500"]))
    good.write_text(
        "\n".join([*lines, f"{loan.number};1;{due[0]};5,500", f"{loan.number};2;{due[1]};5,500"])
    )
    manager = desk(factories.kamau())

    def bring(file):
        page = manager.open("/admin/imports/importjob/add/?kind=schedule")
        page.set_input_files("input[type=file]", file)
        page.get_by_role("button", name="Upload and check").click()
        page.wait_for_url("**/change/")
        return page

    page = bring(bad)
    page.get_by_text("LN999").first.wait_for()
    assert Repayment.objects.count() == 0
    page = bring(good)
    send(dialog(page, "import_all"), "Import", page=page)

    assert [row.amount_due for row in loan.repayments.all()] == [D(5500), D(5500)]
    books.prove()


PAGES = (
    "/admin/",
    "/admin/customers/customer/",
    "/admin/loans/loan/",
    "/admin/loans/loanproduct/",
    "/admin/loans/repayment/",
    "/admin/payments/payment/",
    "/admin/mpesa/mpesapayment/",
    "/admin/mpesa/callback/",
    "/admin/notifications/message/",
    "/admin/notifications/messagetemplate/",
    "/admin/imports/importjob/",
    "/admin/ledger/journalentry/",
    "/admin/staff/staff/",
)


@pytest.mark.parametrize(("width", "scheme"), [(1440, "light"), (390, "dark")])
def test_every_list_fits_the_screen_without_an_error_or_a_request_outside(
    desk, office, width, scheme
):
    running_loan()
    person = desk(
        factories.staff("boss", is_superuser=True, branch=None), width=width, scheme=scheme
    )

    for path in PAGES:
        person.open(path)
        assert person.overflow() <= 0, path
