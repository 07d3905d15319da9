"""The cast and their papers, as plain functions. Wanjiku borrows, Otieno guarantees, Achieng the
clerk may only look, Kamau the manager may decide, Njeri the officer prepares, Mutua the cashier
takes and pays out."""

from datetime import date, timedelta
from decimal import Decimal

from django.contrib.auth.models import Group

from lms.customers.models import Customer
from lms.ledger import chart
from lms.ledger.models import Account, JournalEntry, PostingProfile
from lms.ledger.operations import Line, post
from lms.loans.models import Collateral, Guarantor, Loan, LoanProduct, ProductFee, ProductVersion
from lms.loans.operations import lifecycle, security
from lms.staff.models import Branch, Staff
from lms.tills.models import DrawerSession
from lms.tills.operations import drawers

DAY = date(2026, 1, 15)
VAULT = Decimal(1_000_000)


def branch(code: str = "NRB", name: str = "Nairobi") -> Branch:
    return Branch.objects.get_or_create(code=code, defaults={"name": name})[0]


def staff(username: str, role: str | None = None, **fields) -> Staff:
    """A member of staff of the Nairobi branch unless told; `branch=None` is head office."""
    fields.setdefault("branch", branch())
    found = Staff.objects.filter(username=username).first()
    if found:
        return found
    person = Staff.objects.create_user(
        username,
        password="maji-moto-42-safi",
        first_name=username.capitalize(),
        is_staff=True,
        **fields,
    )
    if role:
        person.groups.add(Group.objects.get(name=role))
    return person


def achieng() -> Staff:
    return staff("achieng", "Auditor")


def kamau() -> Staff:
    return staff("kamau", "Manager", approval_limit=Decimal(1_000_000))


def njeri() -> Staff:
    return staff("njeri", "Loan officer")


def mutua() -> Staff:
    return staff("mutua", "Cashier")


def vault(of: Branch | None = None, *, on: date = DAY, amount: Decimal = VAULT) -> JournalEntry:
    """Capital of KES 1,000,000 in the vault of a branch since the day before; once a branch."""
    of = of or branch()
    found = JournalEntry.objects.filter(reference=f"vault:{of.pk}").first()
    return found or post(
        kind="manual_journal",
        reference=f"vault:{of.pk}",
        on=on - timedelta(days=1),
        narration="Capital paid in",
        lines=[Line(chart.CASH, chart.SHARE_CAPITAL, amount)],
        branch_id=of.pk,
        by=None,
    )


def open_drawer(cashier: Staff | None = None, *, on: date = DAY, **pieces: int) -> DrawerSession:
    """Mutua's drawer, with a float of KES 5,000 in five notes unless told (`of_1000=5`).

    The vault it comes from is filled before.
    """
    cashier = cashier or mutua()
    vault(cashier.branch, on=on)
    counted = {int(face.removeprefix("of_")): number for face, number in pieces.items()}
    return drawers.open_drawer(
        cashier, pieces=counted or {1000: 5}, branch=cashier.branch, by=cashier, on=on
    )


def customer(name: str = "Wanjiku Mwangi", phone: str = "254712345678", **fields) -> Customer:
    """An individual with verified KYC; the ID number follows from the phone unless told."""
    first, _, last = name.partition(" ")
    person = Customer(
        first_name=first,
        last_name=last or "Mwangi",
        phone=phone,
        **{
            "id_number": phone[-8:],
            "branch": branch(),
            "kyc_status": Customer.Kyc.VERIFIED,
            **fields,
        },
    )
    person.full_clean()
    person.save()
    return person


def wanjiku() -> Customer:
    return Customer.objects.filter(phone="254712345678").first() or customer()


def otieno() -> Customer:
    return Customer.objects.filter(phone="254722000111").first() or customer(
        "Otieno Ouma", "254722000111"
    )


def profile() -> PostingProfile:
    """Business loans, posted to an account of their own wherever that can be: 1110B for 1110."""
    found, is_new = PostingProfile.objects.get_or_create(name="Business loans")
    if is_new:
        common = Account.objects.filter(pk__in=chart.PER_PRODUCT)
        for account in common:
            own = Account.objects.get(pk=account.pk)
            own.code, own.name = f"{account.code}B", f"{own.name}, business"
            own.stands_for = account
            own.save(force_insert=True)
            found.accounts.add(own)
    return found


def product(**fields) -> LoanProduct:
    """Biashara: 24% a year declining, monthly, 12 instalments, whole shillings.

    Its first version is approved and in force since 2000; the fields are those of both.
    """
    fees = fields.pop("fees", [])
    code = fields.pop("code", "BIASHARA")
    found = LoanProduct.objects.filter(code=code).first()
    if found:
        return found
    about = {
        name: fields.pop(name) for name in ("name", "is_active", "notice_days") if name in fields
    }
    made = LoanProduct(**{"code": code, "name": f"{code.capitalize()} loan", **about})
    made.full_clean()
    made.save()
    version = ProductVersion(
        product=made,
        number=1,
        **{
            "rate": Decimal(24),
            "rate_period": "year",
            "number_of_repayments": 12,
            "max_repayments": 52,
            "max_principal": Decimal(1_000_000),
            "max_rate": Decimal(400),
            **fields,
        },
    )
    version.full_clean()
    version.save()
    for fee in fees:
        ProductFee.objects.create(version=version, **fee)
    version.status, version.approval_reference = ProductVersion.Status.APPROVED, "Board 1/2000"
    version.starts_on = date(2000, 1, 1)
    version.save(update_fields=["status", "approval_reference", "starts_on"])
    return made


def draft(principal: Decimal = Decimal(100_000), **fields) -> Loan:
    """An application prepared by Njeri for Wanjiku."""
    return lifecycle.apply(
        **{
            "customer": fields.pop("customer", None) or wanjiku(),
            "product": fields.pop("product", None) or product(),
            "principal": principal,
            "by": njeri(),
            "on": DAY,
            **fields,
        }
    )


def approved(principal: Decimal = Decimal(100_000), *, on: date = DAY, **fields) -> Loan:
    """A loan that Kamau approved."""
    loan = draft(principal, on=on, **fields)
    lifecycle.submit(loan, by=njeri(), on=on)
    return lifecycle.approve(loan, by=kamau(), on=on)


def active(principal: Decimal = Decimal(100_000), *, on: date = DAY, **fields) -> Loan:
    """A loan that Mutua paid out in cash."""
    loan = approved(principal, on=on, **fields)
    return lifecycle.disburse(loan, method="cash", reference=None, by=mutua(), on=on)


def guarantor(loan: Loan, customer: Customer | None = None, **fields) -> Guarantor:
    """Otieno, who answers for 20,000 of a loan since the day it was applied for."""
    made = security.propose(
        loan,
        customer=customer or otieno(),
        amount=fields.pop("amount", Decimal(20_000)),
        by=njeri(),
        on=loan.applied_on,
        **fields,
    )
    return security.consent(
        made, means="form", consented_on=loan.applied_on, by=njeri(), on=loan.applied_on
    )


def collateral(loan: Loan, **fields) -> Collateral:
    """A car worth 100,000, of which a hurried sale brings 70%."""
    thing = Collateral(
        loan=loan,
        **{
            "kind": "vehicle",
            "description": "Toyota Probox",
            "serial": "KDA 123A",
            "value": Decimal(100_000),
            "valued_on": loan.applied_on,
            **fields,
        },
    )
    return security.pledge(thing, by=njeri(), on=loan.applied_on)
