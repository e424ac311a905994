"""Where a URL from outside may lead: by name, by address, and through the client that asks both."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from services.intake.channels import sns
from services.intake.domain.reach import NotAllowed, Reach, checked, is_open, is_trusted
from services.intake.guarded_http import Forbidden, guarded_client

REACH = Reach.of(["api.provider.example", "*.cdn.example"], ["127.0.0.1:8127"])


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "127.255.0.9", "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "169.254.169.254", "100.64.0.1",
        "0.0.0.0",  # noqa: S104 - nothing listens
        "0.1.2.3", "224.0.0.1", "239.255.255.250", "240.0.0.1", "255.255.255.255", "192.0.2.1", "198.18.0.1",
        "198.51.100.1", "203.0.113.9", "::", "::1", "fe80::1", "fe80::1%eth0", "fc00::1", "fd12:3456::1", "fec0::1", "ff02::1",
        "::ffff:127.0.0.1", "::ffff:8.8.8.8", "::ffff:a9fe:a9fe", "::127.0.0.1", "2002:7f00:1::", "2002:808:808::1",
        "2001:0:53aa:64c::1", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::1", "2001:db8::1", "", "localhost",
        "127.1", "0x7f.0.0.1", "2130706433", "017700000001", "8.8.8.8/32", "1.2.3.4\n",
    ],
)  # fmt: skip
def test_no_address_but_one_of_the_open_internet_is_open(address: str) -> None:
    assert not is_open(address)
    with pytest.raises(NotAllowed, match="address-not-allowed"):
        checked(["8.8.8.8", address], trusted=False)


@pytest.mark.parametrize("address", ["8.8.8.8", "54.172.60.1", "2600:1f18::1", "2a00:1450:4001::200e", "64:ff9b::808:808"])
def test_an_address_of_the_open_internet_is_open(address: str) -> None:
    assert is_open(address)


@given(st.integers(0, 2**32 - 1))
def test_an_ipv4_address_inside_another_is_never_more_open_than_itself(number: int) -> None:
    inner = IPv4Address(number)
    hidden = [f"::ffff:{inner}", f"64:ff9b::{inner}", f"2002:{number >> 16:x}:{number & 0xFFFF:x}::1", f"::{inner}"]
    assert not any(is_open(address) for address in hidden) or is_open(str(inner))


@pytest.mark.parametrize(
    ("scheme", "host", "port", "code"),
    [
        ("https", "api.provider.example", None, ""),
        ("https", "API.Provider.Example.", 443, ""),
        ("https", "a.b.cdn.example", None, ""),
        ("https", "cdn.example", None, "host-not-allowed"),
        ("https", "evilcdn.example", None, "host-not-allowed"),
        ("https", "api.provider.example.evil.example", None, "host-not-allowed"),
        ("https", "api.provider.example", 8443, "host-not-allowed"),
        ("https", "", None, "host-not-allowed"),
        ("https", "169.254.169.254", None, "host-not-allowed"),
        ("https", "127.0.0.1", None, "host-not-allowed"),
        ("http", "api.provider.example", None, "scheme-not-allowed"),
        ("http", "127.0.0.1", 8128, "scheme-not-allowed"),
        ("ftp", "127.0.0.1", 8127, "scheme-not-allowed"),
        ("file", "", None, "scheme-not-allowed"),
        ("http", "127.0.0.1", 8127, "trusted"),
    ],
)
def test_only_named_hosts_are_gone_to_over_https(scheme: str, host: str, port: int | None, code: str) -> None:
    if code in ("", "trusted"):
        assert is_trusted(REACH, scheme, host, port) == (code == "trusted")
        return
    with pytest.raises(NotAllowed, match=code):
        is_trusted(REACH, scheme, host, port)


async def test_the_name_is_looked_up_once_and_the_connection_goes_to_what_was_looked_at() -> None:
    """A name server that says something else the second time is not asked a second time."""
    asked: list[tuple[str, int]] = []
    connected: list[bytes] = []

    async def rebinding(host: str, port: int) -> Sequence[str]:
        asked.append((host, port))
        return ["127.0.0.1"] if len(asked) == 1 else ["169.254.169.254"]

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connected.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with guarded_client(Reach.of([], [f"media.example:{port}"]), rebinding) as client:
        assert (await client.get(f"http://media.example:{port}/a")).text == "ok"
    server.close()
    assert asked == [("media.example", port)]
    assert f"host: media.example:{port}".encode() in connected[0].lower()


@pytest.mark.parametrize("addresses", [["127.0.0.1"], ["8.8.8.8", "10.0.0.8"], ["::ffff:169.254.169.254"]])
async def test_a_named_host_that_leads_inside_is_not_gone_to(addresses: Sequence[str]) -> None:
    async def inside(_host: str, _port: int) -> Sequence[str]:
        return addresses

    async with guarded_client(REACH, inside) as client:
        with pytest.raises(Forbidden, match="address-not-allowed"):
            await client.get("https://api.provider.example/x")


async def test_a_name_without_an_address_is_away_for_now() -> None:
    async def nowhere(_host: str, _port: int) -> Sequence[str]:
        raise OSError

    async with guarded_client(REACH, nowhere) as client:
        with pytest.raises(httpx.ConnectError):
            await client.get("https://api.provider.example/x")


async def test_an_environment_that_names_a_proxy_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
    async with guarded_client(REACH) as client:
        with pytest.raises(Forbidden, match="host-not-allowed"):
            await client.get("https://elsewhere.example/x")


async def test_a_certificate_of_sns_is_not_fetched_from_inside() -> None:
    async def inside(_host: str, _port: int) -> Sequence[str]:
        return ["169.254.169.254"]

    message = {
        "Type": "Notification",
        "SignatureVersion": "2",
        "Signature": "AAAA",
        "SigningCertURL": "https://sns.eu-west-1.amazonaws.com/SimpleNotificationService-0.pem",
    }
    async with guarded_client(sns.REACH, inside) as client:
        with pytest.raises(sns.NotReached):
            await sns.Sns(client).verify(message)


def certificate(folder: Path, host: str) -> tuple[Path, Path]:
    """A certificate for a host that vouches for itself, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name, now = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)]), datetime.now(UTC)
    made = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(1)
    made = made.not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
    made = made.add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
    signed = made.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True).sign(key, hashes.SHA256())
    (folder / "cert").write_bytes(signed.public_bytes(Encoding.PEM))
    (folder / "key").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return folder / "cert", folder / "key"


@pytest.mark.parametrize("asked", ["media.example", "other.example"])
async def test_tls_asks_for_the_name_and_not_for_the_address(tmp_path: Path, asked: str) -> None:
    cert, key = certificate(tmp_path, "media.example")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(cert, key)

    async def here(_host: str, _port: int) -> Sequence[str]:
        return ["127.0.0.1"]

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    port = server.sockets[0].getsockname()[1]
    trusting = ssl.create_default_context(cafile=str(cert))
    async with guarded_client(Reach.of([], [f"{asked}:{port}"]), here, trusting) as client:
        if asked == "media.example":
            assert (await client.get(f"https://{asked}:{port}/")).text == "ok"
        else:
            with pytest.raises(httpx.ConnectError, match=r"not valid for|doesn't match|mismatch"):
                await client.get(f"https://{asked}:{port}/")
    server.close()
