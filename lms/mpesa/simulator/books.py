"""What the loopback Safaricom remembers: tokens, prompts on phones, and the money it took."""

import base64
import hashlib
import secrets
import string
import threading
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone

EAT = timezone(timedelta(hours=3))
# Receipts that end so are for scripts (`bodies.ANSWERS`): no payment gets one by chance.
SCRIPTED = ("Q1", "Q2", "Q3", "Q4", "Q5")
_LETTERS = string.ascii_uppercase + string.digits
_NAMES = (
    ("WANJIKU", "", "KAMAU"), ("BRIAN", "OTIENO", "OUMA"), ("ACHIENG", "", "ODHIAMBO"),
    ("FATUMA", "HASSAN", "ALI"), ("JOHN", "", "MUTUA"), ("MERCY", "CHEBET", "KORIR"),
    ("PETER", "", "NJOROGE"), ("GRACE", "NAFULA", "WEKESA"),
)  # fmt: skip


def now() -> datetime:
    """Return Safaricom's clock: another company's machine, not the office's business date."""
    return datetime.now(tz=EAT)


def stamp(moment: datetime) -> str:
    return f"{moment:%Y%m%d%H%M%S}"


def name_of(phone: str) -> tuple[str, str, str]:
    """Return the same first, middle and last name for a phone each time."""
    return _NAMES[int(phone) % len(_NAMES)]


def hashed(phone: str) -> str:
    """Return the MSISDN as version 1 of C2B sends it."""
    return hashlib.sha256(phone.encode()).hexdigest()


def masked(phone: str) -> str:
    """Return the MSISDN as version 2 of C2B sends it."""
    return f"{phone[:4]} ***** {phone[-3:]}"


@dataclass(frozen=True)
class Taken:
    """Money taken from a customer, in whole KES: what the lender must credit, once."""

    receipt: str
    amount: int
    account: str
    phone: str
    at: datetime
    checkout_id: str = ""


@dataclass
class Prompt:
    """One STK push on a customer's phone."""

    merchant_id: str
    checkout_id: str
    phone: str
    amount: int
    account: str
    callback_url: str
    asked_at: datetime
    result_code: str | None = None
    result_desc: str = ""


@dataclass
class Books:
    """All state, behind one lock."""

    token: str = ""
    token_dies_at: datetime = datetime(2000, 1, 1, tzinfo=EAT)
    tokens_made: int = 0
    prompts: dict[str, Prompt] = field(default_factory=dict)
    took: list[Taken] = field(default_factory=list)
    receipts: set[str] = field(default_factory=set)
    # Receipts of payments that went back to the customer, each with that of its reversal.
    sent_back: dict[str, str] = field(default_factory=dict)
    # The phone nominated for pulling, once it is registered.
    puller: str = ""
    # How many of those payments were taken before this Safaricom began: their charges are paid.
    brought: int = 0
    # What the accounts of the paybill held before the first payment, in whole KES.
    utility: int = 0
    working: int = 0
    paid_out: int = 0  # of the utility account, to customers
    lock: threading.RLock = field(default_factory=threading.RLock)

    def new_id(self) -> str:
        """Return an id that nothing else has."""
        return f"{secrets.token_hex(2)}-{secrets.token_hex(2)}-{secrets.randbelow(10**8)}"

    def new_token(self) -> str:
        """Return a new token; the one before is dead from now on."""
        with self.lock:
            self.token = base64.urlsafe_b64encode(secrets.token_bytes(21)).decode()
            self.token_dies_at = now() + timedelta(seconds=3599)
            self.tokens_made += 1
            return self.token

    def is_token(self, text: str) -> bool:
        with self.lock:
            return text != "" and text == self.token and now() < self.token_dies_at

    def prompt(self, *, phone: str, amount: int, account: str, callback_url: str) -> Prompt | None:
        """Show a prompt, or return None while another is on the same phone."""
        with self.lock:
            if any(p.phone == phone and p.result_code is None for p in self.prompts.values()):
                return None
            moment = now()
            made = Prompt(
                merchant_id=f"{secrets.randbelow(90000) + 10000}-{secrets.randbelow(10**8)}-1",
                checkout_id=(
                    f"ws_CO_{moment:%d%m%Y%H%M%S}{moment.microsecond // 1000:03d}{phone[-9:]}"
                ),
                phone=phone,
                amount=amount,
                account=account,
                callback_url=callback_url,
                asked_at=moment,
            )
            self.prompts[made.checkout_id] = made
            return made

    def asked_lately(self, prompt: Prompt, *, within: timedelta) -> bool:
        """Tell whether the same amount was paid by the same phone shortly before."""
        with self.lock:
            return any(
                taken.checkout_id != ""
                and (taken.phone, taken.amount) == (prompt.phone, prompt.amount)
                and prompt.asked_at - taken.at < within
                for taken in self.took
            )

    def balances(self) -> dict[str, int]:
        """Return what each account of the paybill holds: payments land in the utility account."""
        with self.lock:
            return {
                "Working Account": self.working,
                "Float Account": 0,
                "Utility Account": (
                    self.utility + sum(taken.amount for taken in self.kept()) - self.paid_out
                ),
                "Charges Paid Account": -23 * (len(self.took) - self.brought),
                "Organization Settlement Account": 0,
            }

    def kept(self) -> list[Taken]:
        """Return the money that was taken and not sent back, oldest first."""
        with self.lock:
            return [taken for taken in self.took if taken.receipt not in self.sent_back]

    def send_back(self, receipt: str) -> str | None:
        """Give a payment back to its customer, once; return the receipt of that, None before."""
        with self.lock:
            if receipt in self.sent_back:
                return None
            used = {taken.receipt for taken in self.took} | set(self.sent_back.values())
            while (made := _receipt(now())) in used or made[-2:] in SCRIPTED:
                continue
            self.sent_back[receipt] = made
            return made

    def taken_with(self, receipt: str) -> Taken | None:
        """Return the payment with a receipt, or None."""
        with self.lock:
            return next((taken for taken in self.took if taken.receipt == receipt), None)

    def take(self, *, phone: str, amount: int, account: str, checkout_id: str = "") -> Taken:
        """Take money from a customer under a receipt number like Safaricom's."""
        with self.lock:
            moment = now()
            taken = Taken(new_receipt(self), amount, account, phone, moment, checkout_id)
            self.took.append(taken)
            return taken


def full_name(phone: str) -> str:
    """Return the same whole name for a phone each time."""
    return " ".join(filter(None, name_of(phone)))


def new_receipt(books: Books) -> str:
    """Return a receipt that nothing else has, and none that scripts use."""
    with books.lock:
        while (receipt := _receipt(now())) in books.receipts or receipt[-2:] in SCRIPTED:
            continue
        books.receipts.add(receipt)
        return receipt


def _receipt(day: datetime) -> str:
    """Return ten characters: year (S is 2024), month (A is January), day, seven at random."""
    year = string.ascii_uppercase[(ord("S") - ord("A") + day.year - 2024) % 26]
    month = string.ascii_uppercase[day.month - 1]
    of_month = (string.digits[1:] + string.ascii_uppercase)[day.day - 1]
    return year + month + of_month + "".join(secrets.choice(_LETTERS) for _ in range(7))
