"""Customers, loans and payments from files: made by the real operations, line by line."""

from datetime import date
from decimal import Decimal

import pytest

from lms.customers.models import Customer
from lms.ledger.models import JournalEntry
from lms.loans.models import Loan
from lms.loans.operations import collection
from lms.payments.models import Payment
from tests import books, factories
from tests.imports.papers import ON, checked, counts, imported, wrong

pytestmark = pytest.mark.django_db

PEOPLE = "Full name,Phone,ID No,DOB,Branch\n"
CONTRACTS = "Old number,Customer,Product,Amount,Disbursed,Repayments,Schedule\n"
RECEIPTS = "method,reference,amount,value_date,account\n"


@pytest.fixture
def kamau(db):
    return factories.kamau()


# --- Customers


def test_a_customer_is_made_with_stored_phone_and_history(kamau):
    job = imported(
        PEOPLE + "Atieno Grace Odhiambo,0733 111 222,22334455,21/03/1988,NRB\n",
        kind="customers",
        filename="members.csv",
    )

    person = Customer.objects.get()
    assert counts(job) == {"new": 1}
    assert (person.first_name, person.other_names, person.last_name) == (
        "Atieno", "Grace", "Odhiambo",
    )  # fmt: skip
    assert (person.phone, person.date_of_birth, person.branch) == (
        "254733111222", date(1988, 3, 21), factories.branch(),
    )  # fmt: skip
    assert person.kyc_status == "pending"
    entry = person.history.get()
    assert (entry.history_user, entry.history_change_reason) == (
        kamau, "Imported from members.csv, line 2",
    )  # fmt: skip


def test_income_and_score_limit_come_with_the_customer_and_stay_when_not_given(kamau):
    imported("phone,id_number,name,net pay,limit\n0733111222,22334455,Atieno Odhiambo,"
             '"35,500.00",80000\n', kind="customers")  # fmt: skip

    job = imported("phone,id_number,net pay\n0733111222,22334455,36000\n", kind="customers")

    person = Customer.objects.get()
    assert (person.net_income, person.score_limit) == (Decimal(36_000), Decimal(80_000))
    assert job.summary["changed"][0]["message"] == "net_income 35500.00 → 36000.00"


def test_a_score_limit_comes_only_from_who_may_set_it(kamau):
    line = "phone,id_number,name,limit\n0733111222,22334455,Atieno Odhiambo,80000\n"

    job = checked(line, kind="customers", by=factories.njeri())

    assert wrong(job) == [(2, "limit", "You may not set score limits: leave the column out.")]


def test_a_check_of_customers_writes_none(kamau):
    checked(PEOPLE + "Atieno Odhiambo,0733111222,22334455,,\n", kind="customers")

    assert Customer.objects.count() == 0


def test_the_same_customers_twice_change_nothing(kamau):
    text = PEOPLE + "Atieno Odhiambo,0733111222,22334455,21/03/1988,\n"
    imported(text, kind="customers")

    job = checked(text, kind="customers")

    assert counts(job) == {"unchanged": 1}


def test_a_known_phone_is_brought_up_to_date_and_empty_cells_leave_it_alone(kamau):
    person = factories.customer("Atieno Odhiambo", "254733111222", id_number="22334455")

    job = imported("phone,id_number,town,email\n0733111222,22334455,Kisumu,\n", kind="customers")

    person.refresh_from_db()
    assert counts(job) == {"changed": 1}
    assert job.summary["changed"][0]["message"] == "town - → Kisumu"
    assert (person.town, person.kyc_status) == ("Kisumu", "verified")


@pytest.mark.parametrize(
    ("line", "column", "sentence"),
    [
        (
            "Atieno Odhiambo,12345,22334455,,",
            "Phone",
            "“12345” is not a Kenyan mobile number. Write it like 0712 345 678 or 254712345678.",
        ),
        (
            "Atieno Odhiambo,0733111222,12,,",
            "ID No",
            "“12” does not look right: a national ID is 6 to 9 digits.",
        ),
        (
            "Atieno,0733111222,22334455,,",
            "last_name",
            "An individual needs a first name and a surname, as on the ID.",
        ),
        (
            "Atieno Odhiambo,0733111222,22334455,,MSA",
            "Branch",
            "There is no branch “MSA”. Write its code or name.",
        ),
        ("Atieno Odhiambo,,22334455,,", "Phone", "The cell is empty. Fill it in."),
    ],
)
def test_a_bad_customer_names_its_column(kamau, line, column, sentence):
    job = checked(PEOPLE + line + "\n", kind="customers")

    assert wrong(job) == [(2, column, sentence)]


def test_a_phone_and_an_id_of_two_people_are_wrong(kamau):
    first = factories.customer("Atieno Odhiambo", "254733111222", id_number="22334455")
    second = factories.customer("Baraka Kiptoo", "254733111333", id_number="33445566")

    job = checked(PEOPLE + "Atieno Odhiambo,0733111222,33445566,,\n", kind="customers")

    assert wrong(job)[0][2] == (
        f"The phone belongs to {first} and the ID number to {second}: correct one of them."
    )


def test_a_phone_twice_in_a_file_names_the_other_line(kamau):
    job = checked(
        PEOPLE
        + "Atieno Odhiambo,0733111222,22334455,,\n"
        + "Baraka Kiptoo,+254 733 111 222,33445566,,\n",
        kind="customers",
    )

    assert wrong(job) == [
        (3, "Phone", "“254733111222” is on line 2 already: delete one of the two.")
    ]


def test_customers_of_another_branch_stay_theirs(kamau):
    mombasa = factories.branch("MSA", "Mombasa")
    factories.customer("Atieno Odhiambo", "254733111222", branch=mombasa)

    job = checked(PEOPLE + "Atieno Odhiambo,0733111222,22334455,,\n", kind="customers")

    assert wrong(job) == [(2, "Phone", "A customer of another branch has this phone or ID number.")]


# --- Loans


def test_running_loans_are_taken_over_with_or_without_a_schedule(kamau):
    factories.wanjiku()
    factories.product()

    job = imported(
        CONTRACTS
        + "TJ/17,0712 345 678,biashara,50000,05/01/2026,12,generate\n"
        + "TJ/18,0712 345 678,BIASHARA,30000,05/01/2026,6,import\n",
        kind="loans",
    )

    first, second = Loan.objects.order_by("pk")
    assert counts(job) == {"new": 2}
    assert (first.status, first.repayments.count()) == ("active", 12)
    assert (second.status, second.repayments.count()) == ("active", 0)
    assert (second.legacy_number, second.number_of_repayments) == ("TJ/18", 6)
    books.prove()


def test_a_loan_without_a_disbursement_is_a_draft(kamau):
    factories.wanjiku()
    factories.product()

    imported(CONTRACTS + "TJ/17,0712 345 678,BIASHARA,50000,,,\n", kind="loans")

    assert Loan.objects.get().status == "draft"
    assert JournalEntry.objects.count() == 0


def test_the_same_loans_twice_change_nothing_and_other_amounts_are_wrong(kamau):
    factories.wanjiku()
    factories.product()
    text = CONTRACTS + "TJ/17,0712 345 678,BIASHARA,50000,05/01/2026,12,\n"
    imported(text, kind="loans")
    loan = Loan.objects.get()

    assert counts(checked(text, kind="loans")) == {"unchanged": 1}
    assert wrong(checked(text.replace("50000", "60000"), kind="loans")) == [
        (
            2,
            "Amount",
            f"{loan.number} is here already with principal KES 50,000.00, not KES 60,000.00: a "
            "file does not change a loan.",
        )
    ]


@pytest.mark.parametrize(
    ("line", "column", "sentence"),
    [
        (
            "LN-17,0712345678,BIASHARA,50000,,,",
            "Old number",
            "“LN-17” reads like a loan number of this office, so money for one loan could reach "
            "another: write it as OLD-LN-17.",
        ),
        (
            "TJ/17,0799999999,BIASHARA,50000,,,",
            "Customer",
            "There is no customer “0799999999”. Write the phone, the ID number or CU000123.",
        ),
        (
            "TJ/17,0712345678,GARI,50000,,,",
            "Product",
            "There is no product “GARI”. Write its code.",
        ),
        (
            "TJ/17,0712345678,BIASHARA,5,,,",
            "Amount",
            "Biashara loan lends KES 1,000.00 to KES 1,000,000.00.",
        ),
        (
            "TJ/17,0712345678,BIASHARA,50000,05/05/2026,,",
            "Disbursed",
            "The loan cannot have been disbursed in the future.",
        ),
    ],
)
def test_a_bad_loan_names_its_column(kamau, line, column, sentence):
    factories.wanjiku()
    factories.product()

    job = checked(CONTRACTS + line + "\n", kind="loans")

    assert wrong(job) == [(2, column, sentence)]
    assert Loan.objects.count() == 0


# --- Payments


def test_payments_are_posted_and_placed_once(loan):
    text = RECEIPTS + f"M-Pesa,ukl7ab12cd,5000,20/03/2026,{loan.number}\n"

    job = imported(text, kind="payments", by=factories.mutua())

    payment = Payment.objects.get()
    assert counts(job) == {"new": 1}
    assert (payment.reference, payment.allocated) == ("UKL7AB12CD", Decimal("5000.00"))
    assert counts(checked(text, kind="payments", by=factories.mutua())) == {"unchanged": 1}
    books.prove()


def test_a_check_of_payments_posts_none(loan):
    entries = JournalEntry.objects.count()

    checked(RECEIPTS + f"cash,RB-1,5000,20/03/2026,{loan.number}\n", kind="payments")

    assert (Payment.objects.count(), JournalEntry.objects.count()) == (0, entries)


def test_a_payment_of_unknown_account_waits_unallocated(kamau):
    job = imported(RECEIPTS + "cash,RB-1,5000,20/03/2026,LN999999\n", kind="payments")

    assert Payment.objects.get().status == "unallocated"
    assert job.summary["new"][0]["message"] == (
        "KES 5,000.00, waits unallocated: no loan “LN999999” takes it"
    )


@pytest.mark.parametrize(
    ("line", "column"),
    [
        ("barter,RB-2,5000,20/03/2026,{loan}", "method"),
        (",RB-2,5000,20/03/2026,{loan}", "method"),
        ("cash,,5000,20/03/2026,{loan}", "reference"),
        ("cash,RB-2,0,20/03/2026,{loan}", "amount"),
        ("cash,RB-2,5000,21/03/2026,{loan}", "value_date"),
        ("mpesa,RB 2,5000,20/03/2026,{loan}", "reference"),
        ("cash,RB-1,1,20/03/2026,{loan}", "amount"),
    ],
)
def test_a_bad_payment_names_its_column_and_keeps_the_file_out(loan, line, column):
    imported(RECEIPTS + f"cash,RB-1,100,20/03/2026,{loan.number}\n", kind="payments")

    job = checked(
        RECEIPTS + f"cash,RB-9,5,20/03/2026,{loan.number}\n" + line.format(loan=loan.number),
        kind="payments",
    )

    assert [(number, name) for number, name, _ in wrong(job)] == [(3, column)]
    assert counts(job) == {"new": 1, "wrong": 1}


def test_a_reversed_reference_is_not_posted_again(loan):
    text = RECEIPTS + f"cash,RB-1,100,20/03/2026,{loan.number}\n"
    imported(text, kind="payments")
    collection.reverse_payment(Payment.objects.get(), reason="Bounced", by=factories.mutua(), on=ON)

    job = checked(text, kind="payments")

    assert [(number, name) for number, name, _ in wrong(job)] == [(2, "reference")]
