"""Requests signed as S3 wants them: AWS Signature Version 4, in the Authorization header.

https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html
"""

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from urllib.parse import quote

ALGORITHM = "AWS4-HMAC-SHA256"


@dataclass(frozen=True)
class Identity:
    """Who asks, and in which region."""

    access_key_id: str
    secret_access_key: str = field(repr=False)
    session_token: str | None = field(repr=False)
    region: str


@dataclass(frozen=True)
class Request:
    """A request before it is signed; `path` and the query are not encoded yet."""

    method: str
    host: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""

    @property
    def target(self) -> str:
        """Path and query as they go over the wire, and as they are signed."""
        query = "&".join(f"{encoded(name)}={encoded(value)}" for name, value in sorted(self.query.items()))
        return quote(self.path, safe="/-_.~") + (f"?{query}" if query else "")


def signed_headers(request: Request, identity: Identity, now: datetime) -> dict[str, str]:
    """The headers with which the request is believed to come from `identity`; `now` in UTC."""
    stamp, day = f"{now:%Y%m%dT%H%M%SZ}", f"{now:%Y%m%d}"
    body_hash = hashlib.sha256(request.body).hexdigest()
    headers = {name.lower(): value.strip() for name, value in request.headers.items()}
    headers |= {"host": request.host, "x-amz-content-sha256": body_hash, "x-amz-date": stamp}
    if identity.session_token:
        headers["x-amz-security-token"] = identity.session_token
    names = ";".join(sorted(headers))
    path, _, query = request.target.partition("?")
    lines = "".join(f"{name}:{headers[name]}\n" for name in sorted(headers))
    canonical = "\n".join((request.method, path, query, lines, names, body_hash))
    scope = f"{day}/{identity.region}/s3/aws4_request"
    text = "\n".join((ALGORITHM, stamp, scope, hashlib.sha256(canonical.encode()).hexdigest()))
    signature = keyed(signing_key(identity, day), text).hex()
    credential = f"{identity.access_key_id}/{scope}"
    authorization = f"{ALGORITHM} Credential={credential},SignedHeaders={names},Signature={signature}"
    return {**headers, "authorization": authorization}


def signing_key(identity: Identity, day: str) -> bytes:
    """The key of one day, region and service."""
    key = f"AWS4{identity.secret_access_key}".encode()
    for step in (day, identity.region, "s3", "aws4_request"):
        key = keyed(key, step)
    return key


def keyed(key: bytes, text: str) -> bytes:
    """The text's HMAC."""
    return hmac.digest(key, text.encode(), "sha256")


def encoded(text: str) -> str:
    """The text as part of a query."""
    return quote(text, safe="-_.~")
