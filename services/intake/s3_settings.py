"""The buckets of S3 from which mail may be fetched, as settings name them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated
from urllib.parse import quote

import httpx
import msgspec
from msgspec import Meta

from services.intake.channels.sigv4 import Keys
from services.intake.domain.reach import Reach

_LABEL = re.compile(r"[a-z0-9-]{3,63}")  # with a dot in it the name would be none that the certificate of S3 covers
_ENDPOINT = r"^(https?://([A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?)?\Z"
HIGHEST_PORT = 65535
_PORTS = {"https": 443, "http": 80}


class Bucket(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A bucket, where it is, and as whom we ask there: by keys that stand here, or in `credentials_file` (access key, secret key
    and perhaps a session token, a line each), which is read for each mail, so that another program can keep them fresh.
    `endpoint`: who speaks as S3 does in Amazon's place, or Amazon itself from inside; it is reached by http too, and at private
    addresses.
    """

    bucket: Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{1,253}\Z")]
    region: Annotated[str, Meta(pattern=r"^[a-z0-9-]{1,40}\Z")]
    access_key: str = ""
    secret_key: str = ""
    session_token: str = ""
    credentials_file: str = ""
    endpoint: Annotated[str, Meta(pattern=_ENDPOINT)] = ""

    @property
    def origin(self) -> str:
        """Scheme, host and port of where it is."""
        if self.endpoint:
            return self.endpoint
        below = f"{self.bucket}." if self._in_host else ""
        ending = ".cn" if self.region.startswith("cn-") else ""
        return f"https://{below}s3.{self.region}.amazonaws.com{ending}"

    @property
    def _in_host(self) -> bool:
        """Whether its name stands in the host's, and not in the path."""
        return not self.endpoint and _LABEL.fullmatch(self.bucket) is not None

    def path_of(self, key: str) -> str:
        """The path of an object, each byte written in the one way that a signature wants. Raises UnicodeError."""
        return f"{'' if self._in_host else f'/{self.bucket}'}/{quote(key, safe='/')}"

    def keys(self) -> Keys:
        """As whom we ask. Raises ValueError where there are none, OSError when their file cannot be read."""
        lines = [self.access_key, self.secret_key, self.session_token]
        if self.credentials_file:
            lines = Path(self.credentials_file).read_text().split()
        if not 2 <= len(lines) <= 3 or not all(lines[:2]):
            raise ValueError(f"buckets of S3: {self.bucket} has no access key with its secret key")
        return Keys(*lines)


Buckets = Mapping[str, Bucket]
_buckets = msgspec.json.Decoder(tuple[Bucket, ...])


def buckets_of(text: str) -> dict[str, Bucket]:
    """From a JSON list, by their names. Raises ValueError, whose text holds no key, and OSError."""
    if not text.strip():
        return {}
    try:
        found = _buckets.decode(text)
        reach_of(found)
    except (msgspec.DecodeError, httpx.InvalidURL) as error:
        raise ValueError(f"buckets of S3: {error}") from None
    named = {one.bucket: one for one in found}
    if len(named) < len(found):
        raise ValueError("buckets of S3: one is named twice")
    for one in found:
        one.keys()
        if (httpx.URL(one.origin).port or 0) > HIGHEST_PORT:
            raise ValueError(f"buckets of S3: the endpoint of {one.bucket} has no such port")
    return named


def reach_of(buckets: Iterable[Bucket]) -> Reach:
    """Where these buckets are, and nowhere else."""
    hosts, trusted = [], []
    for bucket in buckets:
        url = httpx.URL(bucket.origin)
        host = url.raw_host.decode("ascii")
        if bucket.endpoint:
            trusted.append(f"{host}:{url.port or _PORTS[url.scheme]}")
        else:
            hosts.append(host)
    return Reach.of(hosts, trusted)
