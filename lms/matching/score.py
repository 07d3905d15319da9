"""How well a loan fits money that nobody could place, with the reason in plain words.

Pure: no Django, no clock, no database. What is known of the payment is held against what is known
of each loan. Every agreement is a sign; signs of one family say the same thing in two ways, so of
each family only the best counts. Money on the wrong loan is the costliest mistake, so a suggestion
is certain only where two independent strong signs agree and nothing speaks for anybody else.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from decimal import Decimal
from enum import StrEnum
from functools import lru_cache, partial

from rapidfuzz.distance import OSA

from lms import phones
from lms.money import ZERO, kes
from lms.mpesa.callbacks import is_phone_of

MARGIN = 30  # points by which the best must lead for nobody else to come near
LIKELY = 35  # points from which a loan is worth a person's look
MOST_UNCERTAIN = 90  # what is not certain scores no higher
BONUS = 15  # what the agreement of two strong signs is worth
HIGHEST = 100
TELLS = 20  # points from which what was typed as the account tells whose it is
NUMBER_WIDTH = 6  # digits of a loan number as it is printed
SAME_WORD = 0.8  # how alike two words must be to be one name in two spellings, of 1
MOST_SHOWN = 8

# What people type where they have no number: it speaks for nobody.
SAYS_NOTHING = frozenset(
    {
        "LOAN", "LOANS", "LIPA", "LIPIA", "MKOPO", "DENI", "MALIPO", "REJESHO", "PAY", "PAID",
        "PAYMENT", "REPAYMENT", "REPAY", "INSTALMENT", "INSTALLMENT", "MPESA", "M", "PESA",
        "PAYBILL", "ACCOUNT", "ACC", "AC", "A", "C", "NONE", "NIL", "NULL", "NA", "N", "MY",
    }
)  # fmt: skip
PLAIN_PHONE = re.compile(r"254[17]\d{8}")
HASHED_PHONE = re.compile(r"[0-9a-f]{64}")
BARE_NUMBER = re.compile(r"\d{1,6}")
NUMBER_WITHIN = re.compile(r"(?<![A-Z])LN[\s\-_/#.:]*0*([1-9]\d{0,11})(?!\d)")
CUSTOMER_NUMBER = re.compile(r"CU[\s-]*0*([1-9]\d{0,11})")


class Family(StrEnum):
    """What a sign rests on. Two signs are independent when their families differ."""

    ACCOUNT = "account"
    PHONE = "phone"
    NAME = "name"
    AMOUNT = "amount"
    CUSTOMER = "customer"


@dataclass(frozen=True)
class Sign:
    """One thing that speaks for a loan: how much, and in which words."""

    family: Family
    points: int
    words: str
    is_strong: bool = False
    from_account: bool = False  # it was read in the account that the payer typed


@dataclass(frozen=True)
class Paid:
    """What is known of a payment. The readings of its account are those of the room of loans.

    `phone` is as it was sent: plain, hashed, masked or "". `loan_typed` is the key of the loan
    whose number the account is, `old_numbers` how an old number like it may be written.
    """

    account: str = ""
    phone: str = ""
    name: str = ""
    amount: Decimal = ZERO
    customer: int | None = None
    loan_typed: int | None = None
    old_numbers: frozenset[str] = frozenset()
    was_taken_back: bool = False


@dataclass(frozen=True)
class Borrower:
    """A loan on which money may be placed, and whose it is. Amounts in KES."""

    loan: int
    customer: int
    name: str
    phone: str
    id_number: str = ""
    old_number: str = ""
    branch: int | None = None
    is_active: bool = True
    other_loans: frozenset[int] = frozenset()
    due: Decimal = ZERO
    instalment: Decimal = ZERO
    outstanding: Decimal = ZERO
    paid_from: frozenset[str] = frozenset()  # phones, plain or hashed
    paid_by: frozenset[str] = frozenset()  # names of payers

    @property
    def number(self) -> str:
        return f"LN{self.loan:06d}"


@dataclass(frozen=True)
class Candidate:
    """A loan with what speaks for it. `points` are the sum, `score` is what staff read (0-100)."""

    borrower: Borrower
    signs: tuple[Sign, ...]
    points: int
    score: int
    account_agrees: bool = False

    @property
    def reason(self) -> str:
        """Say what speaks for it, the strongest first."""
        return "; ".join(sign.words for sign in self.signs)

    @property
    def gist(self) -> str:
        """Say the two strongest things that speak for it."""
        return "; ".join(sign.words for sign in self.signs[:2])

    @property
    def strong(self) -> frozenset[Family]:
        return frozenset(sign.family for sign in self.signs if sign.is_strong)


@dataclass(frozen=True)
class Suggestion:
    """The loans that a payment may be meant for, the best first."""

    candidates: tuple[Candidate, ...] = ()
    is_certain: bool = False

    @property
    def best(self) -> Candidate | None:
        """The candidate worth a person's look, or None."""
        first = self.candidates[0] if self.candidates else None
        return first if first and first.score >= LIKELY else None

    @property
    def level(self) -> str:
        """Return `certain`, `likely` or `none`."""
        if self.is_certain:
            return "certain"
        return "likely" if self.best else "none"


def judge(paid: Paid, borrowers: Iterable[Borrower]) -> Suggestion:
    """Return which of these loans a payment may be meant for, and whether the best is certain.

    A loan of which nothing but the amount agrees is no candidate.
    """
    found = [_candidate(paid, borrower) for borrower in borrowers]
    ranked = sorted(
        (one for one in found if any(sign.family != Family.AMOUNT for sign in one.signs)),
        key=lambda one: (-one.points, one.borrower.loan),
    )
    if not ranked or not is_certain(paid, ranked):
        return Suggestion(tuple(ranked[:MOST_SHOWN]))
    best = ranked[0]
    raised = replace(best, score=min(best.points + BONUS, HIGHEST))
    return Suggestion((raised, *ranked[1:MOST_SHOWN]), is_certain=True)


def is_certain(paid: Paid, ranked: list[Candidate]) -> bool:
    """Tell whether the first of the ranked candidates may be taken without a second look.

    Two strong signs of different families agree on it. What was typed as the account speaks for it
    as well, or says nothing. Nobody took this money off a loan before. The loan is being repaid
    and owes that much. No other candidate is within MARGIN points, nor has any strong sign, but
    that people share a name.
    """
    best, others = ranked[0], ranked[1:]
    return (
        len(best.strong) > 1
        and not paid.was_taken_back
        and best.borrower.is_active
        and paid.amount <= best.borrower.outstanding
        and (best.account_agrees or says_nothing(paid.account))
        and all(
            other.points <= best.points - MARGIN and other.strong <= best.strong & {Family.NAME}
            for other in others
        )
    )


def says_nothing(account: str) -> bool:
    """Tell whether an account as typed names nobody: it is empty, or only "loan", "lipa" and such.

    Digits always say something, if only of a loan that cannot be found.
    """
    return set(re.findall(r"[A-Z]+|\d+", account.upper())) <= SAYS_NOTHING


def signs_of(paid: Paid, borrower: Borrower) -> list[Sign]:
    """Return everything that speaks for a loan, the strongest first."""
    found = [
        *_of_account(paid, borrower),
        *_of_phone(paid, borrower),
        *_of_name(paid, borrower),
        *_of_amount(paid, borrower),
    ]
    if paid.customer == borrower.customer:
        words = "the payment is known to be this customer's"
        found.append(Sign(Family.CUSTOMER, 30, words))
    return sorted(found, key=lambda sign: (-sign.points, sign.family))


def _candidate(paid: Paid, borrower: Borrower) -> Candidate:
    found = signs_of(paid, borrower)
    best = {sign.family: sign for sign in reversed(found)}
    signs = tuple(sign for sign in found if best[sign.family] is sign)
    points = sum(sign.points for sign in signs)
    agrees = any(sign.from_account and sign.points >= TELLS for sign in found)
    return Candidate(borrower, signs, points, min(points, MOST_UNCERTAIN), agrees)


# --- The account as typed ------------------------------------------------------------------------
def bare_number(account: str) -> str:
    """Return the digits of an account that is nothing but a loan number without its letters."""
    digits = account.strip()
    return digits if BARE_NUMBER.fullmatch(digits) and int(digits) else ""


def customer_typed(account: str) -> int | None:
    """Return the key of the customer whose number (CU000012) the account is, or None."""
    found = CUSTOMER_NUMBER.fullmatch(account.strip().upper())
    return int(found[1]) if found else None


def loan_within(account: str) -> int | None:
    """Return the key of the one loan whose number stands among other words, or None."""
    found = {int(key) for key in NUMBER_WITHIN.findall(account.upper())}
    return found.pop() if len(found) == 1 else None


def number_typed(paid: Paid) -> int | None:
    """Return the key of the loan whose whole number was typed, with its letters or all digits."""
    if paid.loan_typed:
        return paid.loan_typed
    bare = bare_number(paid.account)
    return int(bare) if len(bare) == NUMBER_WIDTH else loan_within(paid.account)


def near(key: int) -> set[int]:
    """Return the keys of loans whose printed number is one slip of the finger away.

    A digit wrong, two neighbours swapped, a digit left out or typed twice too often.
    """
    text = f"{key:0{NUMBER_WIDTH}d}"
    places = range(len(text))
    slips = {text[:i] + digit + text[i + 1 :] for i in places for digit in "0123456789"}
    slips |= {text[:i] + text[i + 1] + text[i] + text[i + 2 :] for i in places[:-1]}
    slips |= {text[:i] + text[i + 1 :] for i in places}
    slips |= {text[:i] + digit + text[i:] for i in range(len(text) + 1) for digit in "0123456789"}
    return {int(slip) for slip in slips} - {0, key}


def _of_account(paid: Paid, borrower: Borrower) -> Iterable[Sign]:
    account = " ".join(paid.account.split())
    if not account:
        return
    typed = f"“{account}”"
    bare, within = bare_number(account), loan_within(account)
    if borrower.loan in (paid.loan_typed, within):
        yield _account(45, f"{typed} names this loan", is_strong=True)
    elif bare and int(bare) == borrower.loan:
        yield _account(45, f"{typed} is its number without the letters", is_strong=True)
    elif (paid.loan_typed or within) in borrower.other_loans:
        yield _account(40, f"{typed} is another loan of this customer", is_strong=True)
    elif (number := number_typed(paid)) and borrower.loan in near(number):
        yield _account(30, f"{typed} is one slip away from its number")
    squeezed = re.sub(r"[\W_]+", "", account).upper()
    if squeezed and squeezed == borrower.id_number:
        yield _account(45, f"{typed} is the customer's ID number", is_strong=True)
    elif len(squeezed) > NUMBER_WIDTH and OSA.distance(squeezed, borrower.id_number) == 1:
        yield _account(25, f"{typed} is one slip away from the customer's ID number")
    if customer_typed(account) == borrower.customer:
        yield _account(45, f"{typed} is the customer's number", is_strong=True)
    if borrower.old_number and borrower.old_number in paid.old_numbers:
        yield _account(35, f"{typed} may be its old number {borrower.old_number}")


def _account(points: int, words: str, *, is_strong: bool = False) -> Sign:
    return Sign(Family.ACCOUNT, points, words, is_strong=is_strong, from_account=True)


# --- The phone -----------------------------------------------------------------------------------
def _of_phone(paid: Paid, borrower: Borrower) -> Iterable[Sign]:
    said = paid.phone.replace(" ", "").lower()
    hashed = phones.hashed(borrower.phone)
    if said == borrower.phone:
        yield _phone(45, "paid from the customer's phone", is_strong=True)
    elif said == hashed:
        yield _phone(45, "paid from the customer's phone, known by its hash", is_strong=True)
    elif fits_mask(said, borrower.phone):
        shown = sum(mark.isdigit() for mark in said)
        yield _phone(15 if shown < 8 else 20, "the masked phone fits the customer's")
    if whole_phones(said) & borrower.paid_from:
        yield _phone(40, "this phone paid this loan before", is_strong=True)
    typed = phones.parse(paid.account)
    if typed == borrower.phone:
        words = "the customer's phone was typed as the account"
        yield Sign(Family.PHONE, 45, words, is_strong=True, from_account=True)
    elif typed and OSA.distance(typed, borrower.phone) == 1:
        words = "the account is one slip away from the customer's phone"
        yield Sign(Family.PHONE, 20, words, from_account=True)


def _phone(points: int, words: str, *, is_strong: bool = False) -> Sign:
    return Sign(Family.PHONE, points, words, is_strong=is_strong)


def whole_phones(said: str) -> frozenset[str]:
    """Return how payments may have this phone where it is whole: as it was said, and hashed."""
    said = said.replace(" ", "").lower()
    if PLAIN_PHONE.fullmatch(said):
        return frozenset({said, phones.hashed(said)})
    return frozenset({said} if HASHED_PHONE.fullmatch(said) else ())


def fits_mask(said: str, phone: str) -> bool:
    """Tell whether a phone may be the one that was sent masked."""
    return "*" in said and is_phone_of(said, phone=phone)


# --- The name ------------------------------------------------------------------------------------
@lru_cache(maxsize=50_000)  # one name is held against many
def words_of(name: str) -> tuple[str, ...]:
    """Return the words of a name in capitals: letters only, none of a single letter."""
    found = re.findall(r"[^\W\d_]+", name.upper().replace("'", ""))
    return tuple(word for word in found if len(word) > 1)


def alikeness(one: str, other: str) -> tuple[int, int]:
    """Return how many words of the shorter name the longer has too, and how many it has not.

    Words count once, in any order; a letter wrong is still the same word.
    """
    shorter, longer = sorted((words_of(one), words_of(other)), key=len)
    left, missing = list(longer), []
    for word in shorter:
        if word in left:
            left.remove(word)
        else:
            missing.append(word)
    for word in list(missing):
        alike = max(left, key=partial(OSA.normalized_similarity, word), default="")
        if OSA.normalized_similarity(word, alike) >= SAME_WORD:
            left.remove(alike)
            missing.remove(word)
    return len(shorter) - len(missing), len(missing)


def shares_a_name(paid: Paid, name: str) -> bool:
    """Tell whether the payer, or the account typed, has a word of this name."""
    return any(alikeness(said, name)[0] for said in (paid.name, paid.account))


def names_agree(paid: Paid, name: str) -> tuple[bool, bool]:
    """Tell whether the payer, or the account typed, shares two words with this name; and all."""
    found = [alikeness(said, name) for said in (paid.name, paid.account)]
    shared = [missing for agreed, missing in found if agreed > 1]
    return bool(shared), 0 in shared


def _of_name(paid: Paid, borrower: Borrower) -> Iterable[Sign]:
    if found := _alike(paid.name, borrower.name):
        points, how, is_strong = found
        yield Sign(Family.NAME, points, f"the payer's name {how}", is_strong=is_strong)
    if not says_nothing(paid.account) and (found := _alike(paid.account, borrower.name)):
        points, how, is_strong = found
        words = f"the name typed as the account {how}"
        yield Sign(Family.NAME, points, words, is_strong=is_strong, from_account=True)
    payer = " ".join(words_of(paid.name))
    if " " in payer and payer in borrower.paid_by:
        yield Sign(Family.NAME, 25, "a payer of this name paid this loan before")


def _alike(said: str, name: str) -> tuple[int, str, bool] | None:
    agreed, missing = alikeness(said, name)
    if agreed > 1 and not missing:
        shorter, longer = sorted((words_of(said), words_of(name)), key=len)
        if set(shorter) <= set(longer):  # to the letter: John is not Joan
            return 35, "is the customer's", True
        return 25, "is nearly the customer's", False
    if agreed > 1:
        return 20, "is like the customer's", False
    return (10, "is one of the customer's names", False) if agreed and not missing else None


# --- The amount ----------------------------------------------------------------------------------
def _of_amount(paid: Paid, borrower: Borrower) -> Iterable[Sign]:
    if not paid.amount:
        return
    if paid.amount == borrower.due:
        yield Sign(Family.AMOUNT, 15, f"{kes(paid.amount)} is exactly what is due")
    elif paid.amount == borrower.instalment:
        yield Sign(Family.AMOUNT, 12, f"{kes(paid.amount)} is its next instalment")
    elif paid.amount == borrower.outstanding:
        yield Sign(Family.AMOUNT, 10, f"{kes(paid.amount)} is its whole balance")
