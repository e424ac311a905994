"""What a person needs to try each provider's way in from the terminal: keys of our own in place of the providers'.

Made by `make run` for its demonstration, where no provider is set up: with one of them, all others have to bring what it needs.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import NameOID

from deploy.local.settings import LocalSettings, secret_file, write_secret

TOPIC = "arn:aws:sns:eu-west-1:000000000000:patchbay-try"
CERTIFICATE_YEARS = 10
_SET_UP = (
    *("PATCHBAY_INTAKE_MAILGUN_KEYS", "PATCHBAY_INTAKE_MAILGUN_KEYS_FILE", "PATCHBAY_INTAKE_SENDGRID_INBOUND_KEYS"),
    *("PATCHBAY_INTAKE_SENDGRID_EVENT_KEYS", "PATCHBAY_INTAKE_SES_TOPICS", "PATCHBAY_INTAKE_SES_CERTIFICATE_FILE"),
    *("PATCHBAY_INTAKE_PROVIDER_CREDENTIALS", "PATCHBAY_INTAKE_PROVIDER_CREDENTIALS_FILE"),
)


def make(folder: Path) -> None:
    """Have all keys in the folder of secrets; those that are there stay."""
    secret_file(folder / "mailgun.key", "password")
    secret_file(folder / "providers.credential", "password")
    if not sendgrid_key(folder).exists():
        write_secret(sendgrid_key(folder), _pem(ec.generate_private_key(ec.SECP256R1())))
    if not sns_certificate(folder).exists():
        key = rsa.generate_private_key(65537, 2048)
        write_secret(sns_key(folder), _pem(key))
        write_secret(sns_certificate(folder), _certificate(key))


def environment(settings: LocalSettings, folder: Path, given: Mapping[str, str]) -> dict[str, str]:
    """What intake is told of them; nothing where a provider is set up in `given`, and where they were not made."""
    if not settings.demo or given.keys() & set(_SET_UP) or not sns_certificate(folder).exists():
        return {}
    public = sendgrid_public(sendgrid_key(folder).read_bytes())
    return {
        "PATCHBAY_INTAKE_MAILGUN_KEYS_FILE": str(folder / "mailgun.key"),
        "PATCHBAY_INTAKE_PROVIDER_CREDENTIALS_FILE": str(folder / "providers.credential"),
        "PATCHBAY_INTAKE_SENDGRID_INBOUND_KEYS": public,
        "PATCHBAY_INTAKE_SENDGRID_EVENT_KEYS": public,
        "PATCHBAY_INTAKE_SES_TOPICS": TOPIC,
        "PATCHBAY_INTAKE_SES_CERTIFICATE_FILE": str(sns_certificate(folder)),
    }


def sendgrid_key(folder: Path) -> Path:
    """The private key with which `patchbay send sendgrid` signs."""
    return folder / "sendgrid.pem"


def sns_key(folder: Path) -> Path:
    """That of `patchbay send ses`."""
    return folder / "sns.pem"


def sns_certificate(folder: Path) -> Path:
    """Its certificate."""
    return folder / "sns-certificate.pem"


def sendgrid_public(pem: bytes) -> str:
    """The public key of a private one, as SendGrid shows it. Raises ValueError."""
    public = load_pem_private_key(pem, None).public_key()
    return base64.b64encode(public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).decode()


def _pem(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> str:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def _certificate(key: rsa.RSAPrivateKey) -> str:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "patchbay send ses")])
    now = datetime.now(UTC)
    made = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(1)
    made = made.not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=365 * CERTIFICATE_YEARS))
    return made.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM).decode()
