import hashlib
import json
from datetime import datetime
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lms.mpesa.callbacks import (
    MalformedCallback,
    is_phone_of,
    is_success,
    parse_c2b,
    parse_stk,
    read_object,
)

CORPUS = Path(__file__).parent.parent / "data" / "daraja"
PARSERS = {"stk": parse_stk, "confirmation": parse_c2b, "validation": parse_c2b}
BODIES = sorted(path for kind in PARSERS for path in CORPUS.glob(f"{kind}_*.json"))
PHONE = "254708374149"

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.sampled_from(["0", "TLF8QK2M1A", "500.00", "20251215102115", "174379"]),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(), inner, max_size=5),
    max_leaves=20,
)


def body_of(case: dict) -> bytes:
    """Return the bytes that a corpus file stands for."""
    if "hex" in case:
        return bytes.fromhex(case["hex"])
    text = case.get("text")
    return (json.dumps(case["body"]) if text is None else text).encode()


def test_the_corpus_is_not_lost():
    assert len(BODIES) >= 40


@pytest.mark.parametrize("path", BODIES, ids=lambda path: path.stem)
def test_a_body_means_what_its_file_says(path):
    case = json.loads(path.read_text())
    parse = PARSERS[case["kind"]]

    if "malformed" in case:
        with pytest.raises(MalformedCallback, match=case["malformed"]):
            parse(body_of(case))
        return

    found = parse(body_of(case))
    for name, value in case["expected"].items():
        read = getattr(found, name)
        if isinstance(read, Decimal):
            assert (read, read.as_tuple().exponent) == (Decimal(value), -2)
        elif isinstance(read, datetime):
            assert read == datetime.fromisoformat(value)
        else:
            assert read == value, name


@given(st.binary(max_size=300))
def test_bytes_from_anywhere_raise_nothing_but_malformed(body):
    for parse in (parse_stk, parse_c2b):
        with pytest.raises(MalformedCallback):
            parse(body)


@given(
    st.fixed_dictionaries(
        {},
        optional=dict.fromkeys(
            (
                "MerchantRequestID",
                "CheckoutRequestID",
                "ResultCode",
                "ResultDesc",
                "CallbackMetadata",
            ),
            json_values,
        ),
    )
)
def test_an_stk_result_of_any_types_is_read_or_malformed(callback):
    body = json.dumps({"Body": {"stkCallback": callback}}).encode()

    try:
        found = parse_stk(body)
    except MalformedCallback:
        return

    assert (found.amount is None) == (not found.success)


@given(
    st.lists(
        st.fixed_dictionaries(
            {"Name": st.sampled_from(["Amount", "MpesaReceiptNumber", "TransactionDate"])},
            optional={"Value": json_values},
        ),
        max_size=4,
    )
)
def test_items_of_any_values_give_a_sound_amount_or_are_malformed(items):
    callback = {
        "CheckoutRequestID": "ws_CO_1",
        "ResultCode": 0,
        "CallbackMetadata": {"Item": items},
    }

    try:
        found = parse_stk(json.dumps({"Body": {"stkCallback": callback}}).encode())
    except MalformedCallback:
        return

    assert 0 < found.amount < 10**9
    assert found.amount == found.amount.quantize(Decimal("0.01"))


@given(
    st.fixed_dictionaries(
        {},
        optional=dict.fromkeys(
            (
                "TransID",
                "TransAmount",
                "TransTime",
                "BusinessShortCode",
                "BillRefNumber",
                "MSISDN",
                "FirstName",
            ),
            json_values,
        ),
    )
)
def test_a_c2b_body_of_any_types_is_read_or_malformed(body):
    try:
        found = parse_c2b(json.dumps(body).encode())
    except MalformedCallback:
        return

    assert "\x00" not in found.payer_name + found.account + found.msisdn
    assert len(found.account) <= 40


@pytest.mark.parametrize(
    ("code", "success"),
    [("0", True), ("00000000", True), ("", False), ("1", False), ("10", False), ("False", False)],
)
def test_success_is_zeros_only(code, success):
    assert is_success(code) is success


def test_fractions_are_read_without_a_float():
    assert read_object(b'{"a": 0.1}') == {"a": Decimal("0.1")}


@pytest.mark.parametrize(
    ("msisdn", "same"),
    [
        ("254708374149", True),
        ("2547 ***** 149", True),
        ("25470****149", True),
        ("2547 ***** 126", False),
        ("***", False),
        ("", False),
        ("254712345678", False),
    ],
)
def test_a_masked_payer_is_told_from_another(msisdn, same):
    assert is_phone_of(msisdn, phone=PHONE) is same


def test_the_hash_of_version_1_is_plain_sha256_of_the_digits():
    assert is_phone_of(hashlib.sha256(PHONE.encode()).hexdigest().upper(), phone=PHONE)
