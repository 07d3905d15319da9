"""Customers from a file: known by phone or ID number, made or brought up to date."""

from lms import phones, tables
from lms.customers.models import Customer, check_id_number
from lms.errors import Refused
from lms.imports.kind import Run
from lms.imports.rowwise import Cells, RowByRow, RowVerdict
from lms.imports.verdicts import CHANGED, NEW, UNCHANGED
from lms.staff.models import Branch, Staff

TEXTS = (
    "first_name",
    "other_names",
    "last_name",
    "business_name",
    "email",
    "kra_pin",
    "town",
    "address",
    "occupation",
    "next_of_kin",
    "next_of_kin_phone",
    "notes",
)
AMOUNTS = ("net_income", "score_limit")
KINDS = {
    "individual": "individual",
    "person": "individual",
    "business": "business",
    "company": "business",
    "group": "business",
}
ID_KINDS = {
    "nationalid": "national_id",
    "id": "national_id",
    "idcard": "national_id",
    "passport": "passport",
    "alienid": "alien_id",
    "militaryid": "military_id",
    "registration": "registration",
    "businessregistration": "registration",
}
GENDERS = {"female": "female", "f": "female", "male": "male", "m": "male"}


class Customers(RowByRow):
    """One line a customer. Empty cells leave what is known alone; KYC is never imported."""

    code = "customers"
    label = "Customers"
    columns = {
        "phone": ("phone number", "mobile", "mobile number", "mobile no", "telephone", "msisdn"),
        "id_number": ("id no", "id", "national id", "national id number", "id/passport no"),
        "id_kind": ("id type",),
        "kind": ("type", "customer type"),
        "name": ("full name", "customer name", "customer", "names", "client name", "member name"),
        "first_name": ("firstname",),
        "other_names": ("middle name", "other name", "second name"),
        "last_name": ("surname", "lastname"),
        "business_name": ("business", "company name"),
        "email": ("e-mail", "email address"),
        "kra_pin": ("pin", "kra pin no"),
        "date_of_birth": ("dob", "birth date", "born"),
        "gender": ("sex",),
        "town": ("town or area", "area", "location"),
        "address": ("postal address", "physical address"),
        "occupation": ("occupation or trade", "trade", "job"),
        "net_income": ("income", "net income a month", "net pay", "monthly income"),
        "score_limit": ("limit", "loan limit"),
        "next_of_kin": ("kin", "next of kin name"),
        "next_of_kin_phone": ("kin phone",),
        "branch": ("branch code", "branch name"),
        "loan_officer": ("officer", "loan officer username"),
        "notes": ("note", "remarks"),
    }
    required = ("phone", "id_number")
    permissions = ("customers.add_customer", "customers.change_customer")
    template = (
        "first_name", "other_names", "last_name", "phone", "id_number", "id_kind", "date_of_birth",
        "gender", "town", "occupation", "branch",
    )  # fmt: skip
    examples = (
        (
            "Wanjiku", "", "Mwangi", "0712 345 678", "12345678", "National ID", "1988-03-21",
            "Female", "Kiambu", "Vegetable trader", "",
        ),
        (
            "Otieno", "James", "Ouma", "0722 000 111", "23456789", "National ID", "1979-11-02",
            "Male", "Kisumu", "Boda boda", "",
        ),
    )  # fmt: skip

    def identify(self, cells: Cells, verdict: RowVerdict) -> list[tuple[str, str]]:
        verdict.name = cells.text("name") or " ".join(
            filter(None, (cells.text("first_name"), cells.text("last_name")))
        )
        phone = cells.must("phone", phones.normalise)
        kind = cells.choice("id_kind", ID_KINDS, "national_id")
        number = cells.must("id_number", lambda cell: _id_number(kind, cell))
        verdict.name = verdict.name or phones.show(phone)
        keys = [("phone", phone), ("id_number", number)]
        if cells.has("kra_pin"):
            keys.append(("kra_pin", cells.text("kra_pin").upper()))
        return keys

    def handle(self, cells: Cells, verdict: RowVerdict, run: Run) -> None:
        found = self._find(cells, run.by)
        customer = found or Customer()
        before = {} if found is None else _shown(found)
        limit = customer.score_limit
        _fill(customer, cells)
        if customer.score_limit != limit and not run.by.has_perm("customers.set_score_limit"):
            raise Refused(
                "You may not set score limits: leave the column out.", field="score_limit"
            )
        customer.branch = _branch(cells, customer, run.by)
        if cells.has("loan_officer"):
            customer.loan_officer = _officer(cells)
        customer.full_clean()
        after = _shown(customer)
        if found and before == after:
            verdict.decide(UNCHANGED)
            return
        customer._history_user, customer._change_reason = run.by, run.reason(verdict.line)
        customer.save()
        if found is None:
            verdict.decide(NEW, f"{customer.name}, {phones.show(customer.phone)}")
        else:
            verdict.decide(
                CHANGED,
                "; ".join(
                    f"{name} {before[name] or '-'} → {after[name] or '-'}"
                    for name in after
                    if before[name] != after[name]
                ),
            )

    def _find(self, cells: Cells, by: Staff) -> Customer | None:
        """Return the customer of the phone or the ID number. Raises Refused for two of them."""
        kind = cells.choice("id_kind", ID_KINDS, "national_id")
        phone = cells.must("phone", phones.normalise)
        number = cells.must("id_number", lambda cell: _id_number(kind, cell))
        by_phone = Customer.objects.filter(phone=phone).first()
        by_id = Customer.objects.filter(id_kind=kind, id_number=number).first()
        if by_phone and by_id and by_phone != by_id:
            raise Refused(
                f"The phone belongs to {by_phone} and the ID number to {by_id}: "
                "correct one of them.",
                field="phone",
            )
        found = by_phone or by_id
        if found and not Customer.objects.seen_by(by).filter(pk=found.pk).exists():
            raise Refused(
                "A customer of another branch has this phone or ID number.",
                field="phone" if by_phone else "id_number",
            )
        return found


def _id_number(kind: str, cell: object) -> str:
    return check_id_number(kind, tables.parse_text(cell))


def _fill(customer: Customer, cells: Cells) -> None:
    """Set what the line gives; leave alone what it does not."""
    customer.phone = cells.must("phone", phones.normalise)
    customer.id_number = cells.text("id_number")
    customer.kind = cells.choice("kind", KINDS, customer.kind)
    customer.id_kind = cells.choice("id_kind", ID_KINDS, customer.id_kind)
    customer.gender = cells.choice("gender", GENDERS, customer.gender)
    for field in AMOUNTS:
        setattr(customer, field, cells.read(field, tables.parse_money, getattr(customer, field)))
    customer.date_of_birth = cells.read("date_of_birth", tables.parse_date, customer.date_of_birth)
    for field in TEXTS:
        if cells.has(field):
            setattr(customer, field, cells.text(field))
    if cells.has("name") and cells.text("name") != customer.compose_name():
        _name(customer, cells.text("name"))


def _name(customer: Customer, name: str) -> None:
    """Cut a full name into first name, other names and surname; a business keeps it whole."""
    if customer.kind == Customer.Kind.BUSINESS:
        customer.business_name = name
        return
    first, *middle = name.split()
    customer.first_name = first
    customer.last_name = middle.pop() if middle else ""
    customer.other_names = " ".join(middle)


def _branch(cells: Cells, customer: Customer, by: Staff) -> Branch:
    """Return the branch that the line names, else the one that is known, else one's own."""
    text = cells.text("branch")
    if not text:
        return customer.branch if customer.branch_id else by.branch or Branch.head()
    found = (
        Branch.objects.filter(code__iexact=text).first()
        or Branch.objects.filter(name__iexact=text).first()
    )
    if found is None:
        raise Refused(f"There is no branch “{text}”. Write its code or name.", field="branch")
    if not by.sees_all_branches and found.pk != by.branch_id:
        raise Refused(f"You bring customers of {by.branch} only, not of {found}.", field="branch")
    return found


def _officer(cells: Cells) -> Staff:
    text = cells.text("loan_officer")
    found = Staff.objects.filter(username__iexact=text, is_active=True).first()
    if found is None:
        raise Refused(f"There is no member of staff “{text}”.", field="loan_officer")
    return found


def _shown(customer: Customer) -> dict[str, str]:
    """Return what a line may change, as text."""
    fields = ("phone", "id_kind", "id_number", "kind", "gender", "date_of_birth", *AMOUNTS, *TEXTS)
    known = {field: str(getattr(customer, field) or "") for field in fields}
    return known | {
        "branch": customer.branch.code,
        "loan_officer": customer.loan_officer.username if customer.loan_officer else "",
    }
