"""The initiator's password as Safaricom wants it: encrypted to its certificate, in base64."""

import base64
from datetime import date, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from django.conf import settings

from lms.errors import Refused

PASSWORD_LASTS = timedelta(days=90)
WARN_BEFORE = timedelta(days=14)


def encrypt(password: str, certificate: bytes) -> str:
    """Return a password encrypted to the public key of an X.509 certificate (PEM or DER).

    RSA with PKCS#1 v1.5 over the UTF-8 bytes, in base64. Raises ValueError for what is not a
    certificate with an RSA key. Source: Daraja, "Getting started", security credentials.
    """
    is_pem = b"-----BEGIN" in certificate
    load = x509.load_pem_x509_certificate if is_pem else x509.load_der_x509_certificate
    key = load(certificate).public_key()
    if not isinstance(key, RSAPublicKey):
        raise ValueError("The certificate has no RSA key.")  # noqa: TRY004 - as for any other file
    return base64.b64encode(key.encrypt(password.encode(), PKCS1v15())).decode()


def is_set_up() -> bool:
    """Tell whether an initiator is named: without one, Safaricom is not asked."""
    return settings.DARAJA_INITIATOR != ""


def security_credential() -> str:
    """Return the credential pasted into the settings, or one made of password and certificate.

    Raises Refused, without a word of the password, while neither is there or readable.
    """
    if settings.DARAJA_SECURITY_CREDENTIAL:
        return settings.DARAJA_SECURITY_CREDENTIAL
    for name in ("DARAJA_INITIATOR_PASSWORD", "DARAJA_CERTIFICATE"):
        if not getattr(settings, name):
            raise Refused(f"Safaricom cannot be asked from this machine: {name} is empty.")
    try:
        certificate = Path(settings.DARAJA_CERTIFICATE).read_bytes()
        return encrypt(settings.DARAJA_INITIATOR_PASSWORD, certificate)
    except OSError as error:
        raise Refused(f"DARAJA_CERTIFICATE cannot be read: {error.strerror}.") from None
    except ValueError:
        raise Refused(
            "DARAJA_CERTIFICATE is not a certificate that the password can be encrypted to."
        ) from None


def password_ends_on() -> date | None:
    """Return the day from which Safaricom refuses the initiator's password, where it is known."""
    set_on = settings.DARAJA_INITIATOR_PASSWORD_SET_ON
    return set_on + PASSWORD_LASTS if set_on else None
