"""The chart as it is seeded, and as an older chart becomes it."""

from django.apps import apps

from lms.ledger import chart
from lms.ledger.models import Account


def test_every_name_operations_post_to_is_an_account_and_no_header(db):
    codes = {value for name, value in vars(chart).items() if name.isupper() and len(value) == 4}

    assert codes - {chart.CASH_AND_BANK} == set(
        Account.objects.postable().values_list("pk", flat=True)
    )


def test_every_account_stands_under_a_header_of_its_kind(db):
    for account in Account.objects.select_related("parent"):
        if account.is_header:
            assert not account.takes_manual_entries
        else:
            assert (account.parent.is_header, account.parent.kind) == (True, account.kind)


def test_a_contra_account_grows_on_the_other_side(db):
    sides = {
        code: Account.objects.get(pk=code).normal_side
        for code in (chart.CASH, chart.ALLOWANCE, chart.UNALLOCATED, chart.FEE_INCOME, chart.RENT)
    }

    assert sides == {
        chart.CASH: "debit",
        chart.ALLOWANCE: "credit",
        chart.UNALLOCATED: "credit",
        chart.FEE_INCOME: "credit",
        chart.RENT: "debit",
    }


def test_accounts_kept_in_step_with_rows_take_no_manual_entries(db):
    manual = set(Account.objects.manual().values_list("pk", flat=True))

    assert not manual & {chart.LOAN_PRINCIPAL, chart.CUSTOMER_CREDIT, chart.TILL_CASH, "1000"}
    assert manual >= {chart.BANK, chart.SALARIES, chart.RETAINED_EARNINGS}


def test_seeding_again_changes_nothing_the_office_changed(db):
    Account.objects.filter(pk=chart.RENT).update(name="Rent of the shop")

    chart.seed(apps.get_model("ledger", "Account"))

    assert Account.objects.get(pk=chart.RENT).name == "Rent of the shop"
