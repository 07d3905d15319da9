"""How well a loan fits money that nobody could place: tables, and properties of being certain."""

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lms import phones
from lms.matching.score import Borrower, Paid, alikeness, judge, near, says_nothing, signs_of

D = Decimal
PHONE = "254712345678"
HERS = Borrower(
    loan=123,
    customer=7,
    name="Wanjiku Njeri Mwangi",
    phone=PHONE,
    id_number="23456789",
    old_number="KE/0045-12",
    due=D(9456),
    instalment=D(9400),
    outstanding=D(100_000),
)
SURE = Paid(phone=PHONE, name="WANJIKU MWANGI", amount=D(1000))


@pytest.mark.parametrize(
    ("said", "points", "words"),
    [
        ({"account": "123"}, 45, "“123” is its number without the letters"),
        ({"account": "LN 00 0132", "loan_typed": 132}, 30, "“LN 00 0132” is one slip away from"),
        ({"account": "LN000124", "loan_typed": 124}, 30, "“LN000124” is one slip away from its"),
        ({"account": "loan LN000123 asante"}, 45, "“loan LN000123 asante” names this loan"),
        ({"account": "LN000123 LN000456"}, None, ""),
        ({"account": "2345 6789"}, 45, "“2345 6789” is the customer's ID number"),
        ({"account": "23456798"}, 25, "“23456798” is one slip away from the customer's ID"),
        ({"account": "cu-7"}, 45, "“cu-7” is the customer's number"),
        ({"account": "ke 0045 12", "old_numbers": frozenset({"KE/0045-12"})}, 35, "“ke 0045 12”"),
        ({"account": "0712345678"}, 45, "the customer's phone was typed as the account"),
        ({"account": "0712345687"}, 20, "the account is one slip away from the customer's phone"),
        ({"account": "Wanjiku Mwangi"}, 35, "the name typed as the account is the customer's"),
        ({"account": "wanjiku"}, 10, "the name typed as the account is one of the customer's"),
        ({"phone": PHONE}, 45, "paid from the customer's phone"),
        ({"phone": phones.hashed(PHONE)}, 45, "paid from the customer's phone, known by its"),
        ({"phone": "2547 ***** 678"}, 15, "the masked phone fits the customer's"),
        ({"phone": "25471****678"}, 20, "the masked phone fits the customer's"),
        ({"phone": "2547 ***** 679"}, None, ""),
        ({"name": "MWANGI WANJIKU"}, 35, "the payer's name is the customer's"),
        ({"name": "WANJIKU MWANGY"}, 25, "the payer's name is nearly the customer's"),
        ({"name": "WANJIKU MWANGI OUMA"}, 20, "the payer's name is like the customer's"),
        ({"name": "WANJIKU"}, 10, "the payer's name is one of the customer's names"),
        ({"name": "WANJIKU OUMA"}, None, ""),
        ({"name": "NJOKI MWANGI"}, None, ""),
        ({"name": "W"}, None, ""),
        ({"amount": D(9456)}, 15, "KES 9,456.00 is exactly what is due"),
        ({"amount": D(9400)}, 12, "KES 9,400.00 is its next instalment"),
        ({"amount": D(100_000)}, 10, "KES 100,000.00 is its whole balance"),
        ({"customer": 7}, 30, "the payment is known to be this customer's"),
    ],
)
def test_each_sign_has_its_points_and_its_words(said, points, words):
    found = signs_of(Paid(**said), HERS)

    assert [sign.points for sign in found] == ([] if points is None else [points])
    assert not found or found[0].words.startswith(words)


OTHER = Borrower(loan=900, customer=8, name="Otieno Ouma", phone="254722000111",
                 id_number="11111111", outstanding=D(50_000))  # fmt: skip
PAYS_FROM_ANOTHER = replace(HERS, paid_from=frozenset({"254700000001"}))


@pytest.mark.parametrize(
    ("paid", "borrowers", "certain", "why"),
    [
        (SURE, [HERS], True, "phone and name agree"),
        (SURE, [HERS, OTHER], True, "nothing speaks for the other"),
        (replace(SURE, phone=phones.hashed(PHONE)), [HERS], True, "the hash is the phone"),
        (replace(SURE, phone="2547 ***** 678"), [HERS], False, "a mask is not a phone"),
        (replace(SURE, phone=""), [HERS], False, "a name alone"),
        (replace(SURE, name=""), [HERS], False, "a phone alone"),
        (replace(SURE, name="WANJIKU"), [HERS], False, "one word is no name"),
        (replace(SURE, name="OTIENO OUMA"), [HERS], False, "the name is another's"),
        (replace(SURE, amount=D(9456), name=""), [HERS], False, "the amount is no strong sign"),
        (replace(SURE, account="lipa loan"), [HERS], True, "the account says nothing"),
        (replace(SURE, account="KANISA"), [HERS], False, "the account says something else"),
        (replace(SURE, account="LN000999", loan_typed=999), [HERS], False, "another number"),
        (replace(SURE, account="LN000132", loan_typed=132), [HERS], True, "one slip away"),
        (replace(SURE, account="MWANGI"), [HERS], False, "one name may be a relative's"),
        (replace(SURE, account="OTIENO OUMA"), [HERS, OTHER], False, "paid for somebody else"),
        (replace(SURE, account="11111111"), [HERS, OTHER], False, "the ID is another's"),
        (replace(SURE, phone="", account="123"), [HERS], True, "number and name"),
        (replace(SURE, name="", account="23456789"), [HERS], True, "ID and phone"),
        (SURE, [HERS, replace(HERS, loan=124)], False, "two loans of one customer"),
        (SURE, [HERS, replace(OTHER, paid_from=frozenset({PHONE}))], False, "pays for both"),
        (SURE, [HERS, replace(OTHER, name="Wanjiku Mwangi")], True, "a namesake without phone"),
        (replace(SURE, account="0712345678", phone=""), [HERS], True, "phone typed and name"),
        (replace(SURE, account="0712345678", name=""), [HERS], False, "one phone said twice"),
        (replace(SURE, was_taken_back=True), [HERS], False, "a person took it off a loan"),
        (replace(SURE, amount=D(100_001)), [HERS], False, "more than is owed"),
        (SURE, [replace(HERS, is_active=False)], False, "not paid out yet"),
        (replace(SURE, phone="254700000001"), [PAYS_FROM_ANOTHER], True, "it always pays this"),
    ],
)  # fmt: skip
def test_certain_is_what_two_independent_strong_signs_agree_on(paid, borrowers, certain, why):
    found = judge(paid, borrowers)

    assert found.is_certain is certain, why
    assert not certain or found.best.borrower.loan == 123


def test_only_what_is_certain_scores_above_ninety():
    everything = replace(
        SURE, account="123", amount=D(9456), customer=7, phone=phones.hashed(PHONE)
    )

    assert judge(everything, [HERS]).best.score == 100
    assert judge(everything, [HERS, replace(HERS, loan=124)]).best.score == 90


@pytest.mark.parametrize("account", ["", " ", "-", "Loan", "LIPA LOAN", "M-PESA", "n/a", "a/c"])
def test_filler_says_nothing(account):
    assert says_nothing(account)


@pytest.mark.parametrize("account", ["0", "LN0", "LOAN 5", "MAMA", "LN", "LOAN JUMA"])
def test_everything_else_says_something(account):
    assert not says_nothing(account)


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ("JOHN MWANGI", "John Kamau Mwangi", (2, 0)),
        ("Ndung'u Peter", "PETER NDUNGU", (2, 0)),
        ("JOHN JOHN", "John Mwangi", (1, 1)),
        ("", "John", (0, 0)),
        ("123", "John", (0, 0)),
    ],
)
def test_names_are_compared_word_by_word(one, other, expected):
    assert alikeness(one, other) == expected


@pytest.mark.parametrize("slip", [132, 124, 12, 1223, 1123, 10123, 103])
def test_a_slip_of_the_finger_is_near_in_both_directions(slip):
    assert slip in near(123)
    assert 123 in near(slip)


# --- Properties ----------------------------------------------------------------------------------
NAMES = st.sampled_from(
    ["", "WANJIKU MWANGI", "WANJIKU", "OTIENO OUMA", "WANJIKU OUMA", "MWANGI OTIENO"]
)
PHONES = st.sampled_from(
    ["", PHONE, "254722000111", phones.hashed(PHONE), "2547 ***** 678", "25471****678", "*", "x"]
)
ACCOUNTS = st.one_of(
    st.sampled_from(
        ["", "LOAN", "123", "900", "23456789", "CU7", "0712345678", "WANJIKU MWANGI", "LN000123"]
    ),
    st.text(max_size=20),
)
AMOUNTS = st.sampled_from([D(1), D(1000), D(9456), D(100_000), D(10**9)])
PAID = st.builds(
    Paid,
    account=ACCOUNTS,
    phone=PHONES,
    name=NAMES,
    amount=AMOUNTS,
    customer=st.sampled_from([None, 7, 8]),
    loan_typed=st.sampled_from([None, 123, 132, 900]),
    was_taken_back=st.booleans(),
)
BORROWERS = st.builds(
    Borrower,
    loan=st.integers(1, 10**6),
    customer=st.integers(1, 20),
    name=NAMES,
    phone=st.sampled_from([PHONE, "254722000111"]),
    id_number=st.sampled_from(["23456789", "11111111"]),
    is_active=st.booleans(),
    due=AMOUNTS,
    outstanding=AMOUNTS,
    paid_from=st.frozensets(st.sampled_from([PHONE, phones.hashed(PHONE)]), max_size=1),
)
MANY = st.lists(BORROWERS, max_size=5, unique_by=lambda one: one.loan)


@given(paid=PAID, borrowers=MANY)
def test_a_score_is_between_nought_and_a_hundred_and_its_points_lead(paid, borrowers):
    found = judge(paid, borrowers)

    assert all(0 < one.score <= 100 for one in found.candidates)
    assert [one.points for one in found.candidates] == sorted(
        (one.points for one in found.candidates), reverse=True
    )
    assert found.is_certain == any(one.score > 90 for one in found.candidates)


@given(paid=PAID, borrowers=MANY)
def test_what_is_certain_rests_on_two_strong_families(paid, borrowers):
    found = judge(paid, borrowers)

    if found.is_certain:
        assert len(found.best.strong) >= 2
        assert not paid.was_taken_back
        assert paid.amount <= found.best.borrower.outstanding


@given(paid=PAID, borrowers=MANY)
def test_a_second_loan_that_fits_as_well_never_leaves_it_certain(paid, borrowers):
    found = judge(paid, borrowers)

    if found.is_certain:
        twin = replace(found.best.borrower, loan=found.best.borrower.loan + 10**7)
        # What was typed may name the one loan and not its twin: that is no equal candidate.
        equal = judge(replace(paid, account="", loan_typed=None), [found.best.borrower, twin])
        assert not equal.is_certain
        assert not judge(paid, [*borrowers, twin]).is_certain or (
            judge(paid, [twin]).candidates[0].points < found.best.points
        )


@given(paid=PAID, borrowers=MANY, order=st.randoms())
def test_the_order_in_which_loans_are_found_changes_nothing(paid, borrowers, order):
    shuffled = list(borrowers)
    order.shuffle(shuffled)

    assert judge(paid, shuffled) == judge(paid, borrowers)
