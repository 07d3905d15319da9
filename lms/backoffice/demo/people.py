"""Who works at the demo's lender, and who borrows there."""

import calendar
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from random import Random

from django.contrib.auth.hashers import make_password
from django.contrib.auth.models import Group

from lms.backoffice.demo import names
from lms.customers import operations as customers
from lms.customers.models import Customer
from lms.staff.models import Branch, Staff

PASSWORD = "karibu-kenya-demo"  # noqa: S105  printed at every start: the demo has no secrets
BRANCHES = {"DEMONRB": ("Nairobi", "Gikomba"), "DEMOKSM": ("Kisumu", "Kondele")}
# User name: name, role, branch (None is head office), approval limit in KES.
STAFF = {
    "admin": ("Grace Wambui", "Administrator", None, 5_000_000),
    "kamau": ("Peter Kamau", "Manager", "DEMONRB", 1_000_000),
    "atieno": ("Mary Atieno", "Manager", "DEMOKSM", 600_000),
    "njeri": ("Faith Njeri", "Loan officer", "DEMONRB", 0),
    "ochieng": ("Brian Ochieng", "Loan officer", "DEMOKSM", 0),
    "mutua": ("Dennis Mutua", "Cashier", "DEMONRB", 0),
    "akinyi": ("Lilian Akinyi", "Cashier", "DEMOKSM", 0),
    "hassan": ("Hassan Abdi", "Accountant", None, 0),
    "chebet": ("Mercy Chebet", "Auditor", None, 0),
    "wairimu": ("Jane Wairimu", "Cashier", "DEMONRB", 0),
}
CUSTOMERS = 320
BORN_BETWEEN = (1962, 2004)
SAFARICOM = ("70", "71", "72", "74", "79", "11")


@dataclass(frozen=True)
class Team:
    """The people of one branch: who prepares, who decides, who pays out and takes money."""

    branch: Branch
    manager: Staff
    officer: Staff
    cashier: Staff


@dataclass(frozen=True)
class Office:
    """Everyone who works here."""

    admin: Staff
    accountant: Staff
    teams: dict[str, Team]
    second_cashier: Staff  # of Nairobi


@dataclass
class Persona:
    """A customer of the story. `record` is there once they have been registered."""

    branch: str
    details: dict = field(repr=False)
    pays_by: str = "mpesa"
    record: Customer | None = None

    @property
    def is_business(self) -> bool:
        return "business_name" in self.details


def open_office() -> Office:
    """Open the branches and hire the staff, all with the one password of the demo."""
    branches = {}
    for code, (name, town) in BRANCHES.items():
        branch = Branch(code=code, name=name, town=town)
        branch._change_reason = "Opened"
        branch.save()
        branches[code] = branch
    groups = {group.name: group for group in Group.objects.all()}
    password = make_password(PASSWORD)
    hired = {}
    for number, (username, (name, role, code, limit)) in enumerate(STAFF.items(), start=1):
        first, last = name.split()
        person = Staff(
            username=username,
            first_name=first,
            last_name=last,
            email=f"{username}@example.co.ke",
            phone=f"2547090001{number:02d}",
            branch=branches.get(code),
            approval_limit=Decimal(limit),
            is_staff=True,
            is_superuser=role == "Administrator",
            password=password,
        )
        person._change_reason = "Hired"
        person.save()
        person.groups.add(groups[role])
        hired[username] = person
    teams = {
        "DEMONRB": Team(branches["DEMONRB"], hired["kamau"], hired["njeri"], hired["mutua"]),
        "DEMOKSM": Team(branches["DEMOKSM"], hired["atieno"], hired["ochieng"], hired["akinyi"]),
    }
    return Office(hired["admin"], hired["hassan"], teams, hired["wairimu"])


def connect_telephones(office: Office) -> None:
    """Give the branches their telephones: the last act of the story, by which it is known whole."""
    for number, team in enumerate(office.teams.values()):
        team.branch.phone = f"0709 000 10{number}"
        team.branch._history_user = office.admin
        team.branch._change_reason = "Telephone connected"
        team.branch.save(update_fields=["phone"])


def personas(random: Random) -> list[Persona]:
    """Make up every customer; no two share a phone, an ID number or a KRA PIN."""
    return [_persona(number, random) for number in range(CUSTOMERS)]


def _persona(number: int, random: Random) -> Persona:
    code = "DEMOKSM" if number % 5 in (1, 3) else "DEMONRB"
    phone = f"254{random.choice(SAFARICOM)}{(number * 31_337 + 104_729) % 10_000_000:07d}"
    details = {"phone": phone, "town": random.choice(names.TOWNS[code])}
    is_business = number % 11 == 7
    details |= _business(number, random) if is_business else _individual(number, code, random)
    digits = 100_000_000 + number * 2_718_281 % 800_000_000
    if is_business or random.random() < 0.6:
        letter = "P" if is_business else "A"
        details["kra_pin"] = f"{letter}{digits:09d}{random.choice('ABCDEFGHJKLMNPRSTVWXYZ')}"
    if random.random() < 0.25:
        details["email"] = f"customer{number:03d}@example.com"
    details["takes_messages"] = random.random() > 0.04
    details["address"] = f"{random.choice(('Stall', 'Plot', 'House', 'Shop'))} {number % 180 + 1}"
    roll = random.random()
    pays_by = "mpesa" if roll < 0.72 else "cash" if roll < 0.88 else "bank"
    if is_business:
        pays_by = random.choice(("bank", "cheque", "mpesa"))
    return Persona(code, details, pays_by)


def _individual(number: int, code: str, random: Random) -> dict:
    mix = names.MIX[code]
    community = random.choices(list(mix), weights=list(mix.values()))[0]
    of_women, of_men, surnames = names.COMMUNITIES[community]
    is_woman = random.random() < 0.58
    muslim = community in names.MUSLIM
    given = {
        (True, True): names.MUSLIM_WOMEN,
        (True, False): names.WOMEN,
        (False, True): names.MUSLIM_MEN,
        (False, False): names.MEN,
    }[is_woman, muslim]
    other = random.choice(of_women if is_woman else of_men)
    last = random.choice([name for name in surnames if name != other])
    year = random.randint(*BORN_BETWEEN)
    month = random.randint(1, 12)
    kin = f"{random.choice(names.MEN if is_woman else names.WOMEN)} {last}"
    return {
        "kind": Customer.Kind.INDIVIDUAL,
        "first_name": random.choice(given),
        "other_names": other,
        "last_name": last,
        "id_number": str(20_000_000 + (number * 48_611 + 7_919) % 19_000_000),
        "date_of_birth": date(year, month, random.randint(1, calendar.monthrange(year, month)[1])),
        "gender": "female" if is_woman else "male",
        "occupation": random.choice(names.TRADES),
        "next_of_kin": kin,
        "next_of_kin_phone": f"2547{(number * 77_003 + 22_345_678) % 30_000_000:08d}",
    }


def _business(number: int, random: Random) -> dict:
    line = random.choice(names.BUSINESSES)
    name = f"{names.BUSINESS_FIRST[number // 11 % len(names.BUSINESS_FIRST)]} {line}"
    owner = random.choice(names.MEN + names.WOMEN)
    return {
        "kind": Customer.Kind.BUSINESS,
        "business_name": f"{name} {'Ltd' if number % 2 else 'Enterprises'}",
        "id_kind": Customer.IdKind.REGISTRATION,
        "id_number": f"BN-{number:03d}K{number * 7 % 10}{number * 3 % 10}A",
        "occupation": line,
        "next_of_kin": f"{owner} {random.choice(names.COMMUNITIES['luo'][2])} (director)",
    }


def register(persona: Persona, *, by: Staff) -> Customer:
    """Write a customer down as an officer does: every field checked, KYC pending."""
    customer = Customer(**persona.details, branch_id=by.branch_id, loan_officer=by)
    # What is unique is guarded by the database: asking it first would double the work.
    customer.full_clean(validate_unique=False, validate_constraints=False)
    customer._history_user, customer._change_reason = by, "Registered"
    customer.save()
    persona.record = customer
    return customer


def check_papers(persona: Persona, *, accept: bool, by: Staff, on: date) -> None:
    """Let a manager verify the identity, or reject it with the reason."""
    if accept:
        persona.record = customers.verify(persona.record, by=by, on=on)
    else:
        persona.record = customers.reject(
            persona.record, reason="The ID photo does not match the person.", by=by, on=on
        )
