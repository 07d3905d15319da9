import base64
from datetime import date, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.x509.oid import NameOID

from lms.errors import Refused
from lms.mpesa import credentials

PASSWORD = "Siri#ya$Ofisi%2026"


def certificate_of(key) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "loopback")])
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(datetime(2026, 1, 1))  # noqa: DTZ001 - UTC by definition
        .not_valid_after(datetime(2026, 1, 1) + timedelta(days=3650))  # noqa: DTZ001
        .sign(key, hashes.SHA256())
    )


@pytest.fixture(scope="module")
def key():
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@pytest.mark.parametrize("encoding", [serialization.Encoding.PEM, serialization.Encoding.DER])
def test_the_password_can_be_read_by_who_has_the_key_alone(key, encoding):
    certificate = certificate_of(key).public_bytes(encoding)

    made = credentials.encrypt(PASSWORD, certificate)

    assert len(made) == 344
    assert key.decrypt(base64.b64decode(made), PKCS1v15()) == PASSWORD.encode()
    assert made != credentials.encrypt(PASSWORD, certificate)


@pytest.mark.parametrize("content", [b"", b"rubbish", b"-----BEGIN CERTIFICATE-----\nrubbish"])
def test_what_is_no_certificate_is_refused_without_a_word_of_the_password(
    settings, tmp_path, content
):
    file = tmp_path / "safaricom.cer"
    file.write_bytes(content)
    settings.DARAJA_INITIATOR_PASSWORD = PASSWORD
    settings.DARAJA_CERTIFICATE = str(file)

    with pytest.raises(Refused, match="is not a certificate") as refusal:
        credentials.security_credential()

    assert PASSWORD not in refusal.value.message


def test_a_certificate_without_an_rsa_key_is_refused(settings, tmp_path):
    other = certificate_of(ec.generate_private_key(ec.SECP256R1()))
    file = tmp_path / "other.pem"
    file.write_bytes(other.public_bytes(serialization.Encoding.PEM))
    settings.DARAJA_INITIATOR_PASSWORD = PASSWORD
    settings.DARAJA_CERTIFICATE = str(file)

    with pytest.raises(Refused, match="is not a certificate"):
        credentials.security_credential()


def test_what_is_missing_is_named(settings, tmp_path):
    with pytest.raises(Refused, match="DARAJA_INITIATOR_PASSWORD is empty"):
        credentials.security_credential()
    settings.DARAJA_INITIATOR_PASSWORD = PASSWORD
    with pytest.raises(Refused, match="DARAJA_CERTIFICATE is empty"):
        credentials.security_credential()
    settings.DARAJA_CERTIFICATE = str(tmp_path / "nowhere.pem")
    with pytest.raises(Refused, match="cannot be read"):
        credentials.security_credential()


def test_a_credential_pasted_ready_made_is_taken_as_it_is(settings):
    settings.DARAJA_SECURITY_CREDENTIAL = "ready"

    assert credentials.security_credential() == "ready"


def test_the_password_ends_ninety_days_after_it_was_set(settings):
    assert credentials.password_ends_on() is None
    settings.DARAJA_INITIATOR_PASSWORD_SET_ON = date(2026, 11, 21)

    assert credentials.password_ends_on() == date(2027, 2, 19)
