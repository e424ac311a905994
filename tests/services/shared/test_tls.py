"""Connections to a PostgreSQL that takes TLS only, under a certificate that is verified."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import ipaddress
import ssl
import struct
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest
import pytest_asyncio
import sqlalchemy as sa
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from pydantic import SecretStr

from shared import db
from shared.settings import Settings
from tests.infra import at_port, port_of

SSL_REQUEST = struct.pack("!ii", 8, 80877103)  # https://www.postgresql.org/docs/current/protocol-message-formats.html


def certify(certificate: Path, key: Path, address: str = "127.0.0.1") -> None:
    """A certificate of this address, signed by itself, and its key, as PEM."""
    private, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder(name, name, private.public_key(), x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(address))]), critical=True)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(private, hashes.SHA256())
    )
    certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    key.touch(mode=0o600)
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    key.write_bytes(private.private_bytes(*form))


class Guard:
    """Stands before a PostgreSQL that knows no TLS, as a server with `hostssl` lines alone would: who asks for TLS is let in."""

    def __init__(self, port_behind: int, tls: ssl.SSLContext) -> None:
        self._behind = port_behind
        self._tls = tls
        self.let_in = 0

    async def meet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, to its end."""
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            if await reader.readexactly(8) == SSL_REQUEST:
                writer.write(b"S")
                await writer.start_tls(self._tls)
                self.let_in += 1
                inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", self._behind)
                async with asyncio.TaskGroup() as both:
                    both.create_task(_pass_on(reader, inner_writer))
                    both.create_task(_pass_on(inner_reader, writer))
        writer.close()


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
    writer.close()


@pytest_asyncio.fixture
async def guarded(empty_database: str, tmp_path: Path) -> AsyncIterator[tuple[Guard, str, Path]]:
    """Such a server, its URL without `sslmode`, and the certificate to verify it by."""
    certificate, key = tmp_path / "ca.pem", tmp_path / "ca.key"
    certify(certificate, key)
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(certificate, key)
    guard = Guard(port_of(empty_database), tls)
    server = await asyncio.start_server(guard.meet, "127.0.0.1", 0)
    try:
        yield guard, at_port(empty_database, server.sockets[0].getsockname()[1]), certificate
    finally:
        server.close()


async def test_every_kind_of_connection_is_encrypted_and_verified_as_the_url_says(
    guarded: tuple[Guard, str, Path], tmp_path: Path
) -> None:
    guard, url, certificate = guarded
    verified = f"{url}?sslmode=verify-full&sslrootcert={certificate}"

    connection = await asyncpg.connect(verified, timeout=10)
    assert (await connection.fetchval("SELECT 1"), guard.let_in) == (1, 1)
    await connection.close(timeout=5)

    await asyncio.to_thread(db.migrate, verified, "keys")
    assert guard.let_in == 2

    engine = db.make_engine(Settings(database=SecretStr(verified)), "tls")
    async with db.transaction(engine) as conn:
        assert (await conn.execute(sa.text("SELECT count(*) FROM keys.alembic_version"))).scalar_one() == 1
    assert guard.let_in == 3
    await engine.dispose()


@pytest.mark.parametrize("mode", ["disable", "verify-full"])
async def test_nothing_goes_out_in_clear_or_to_a_stranger(guarded: tuple[Guard, str, Path], tmp_path: Path, mode: str) -> None:
    _, url, _ = guarded
    certify(other := tmp_path / "other.pem", tmp_path / "other.key")
    engine = db.make_engine(Settings(database=SecretStr(f"{url}?sslmode={mode}&sslrootcert={other}")), "tls")
    with pytest.raises(db.DatabaseAway):
        async with db.transaction(engine):
            pass
    await engine.dispose()
