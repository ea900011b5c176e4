"""The parts that a killed publish left in a bucket: found, counted in, and cleared away.

S3 keeps the parts of an upload that was never completed, and says so to whoever asks. The usual client cannot ask, so
these few requests are made here, signed by hand; only for uploads that were begun before, and only with credentials
that were given. Whatever goes wrong is no failure: the file is then sent from its beginning. No redirect is followed,
and no proxy used.
"""

import html
import http.client
import re
import ssl
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import SplitResult, urlsplit

from mmm_repository.signing import Identity, Request, signed_headers
from mmm_repository.storage import Address, StorageOptions
from mmm_repository.store import DEFAULT_REGION, bare, is_virtual_hosted, read_ca

MAX_ANSWER_BYTES = 16 * 2**20
ATTEMPTS = 3
# A part's answer comes when all of it has gone up a line that may be slow, and is shared with the other parts.
ANSWER_SECONDS = 600.0
UPLOAD = re.compile(r"<Upload>(.*?)</Upload>", re.DOTALL)
PART = re.compile(r"<Part>(.*?)</Part>", re.DOTALL)
NEXT = re.compile(r"<NextPartNumberMarker>(\d+)</NextPartNumberMarker>")
TRUNCATED = "<IsTruncated>true</IsTruncated>"


class Refused(Exception):
    """The store answered, but not with what was asked for."""


@dataclass(frozen=True)
class Part:
    """A part that the store has. `tag` is the MD5 of its bytes, unless the store encrypts with keys of its own."""

    size: int
    tag: str


class Leftovers:
    """The uploads in a bucket that were begun and never completed. Its methods block, and raise OSError or Refused."""

    def __init__(self, address: Address, options: StorageOptions, identity: Identity) -> None:
        self._options = options
        self._identity = identity
        self._base = base_of(address.bucket, options, identity.region)

    def uploads(self, prefix: str) -> dict[str, list[str]]:
        """The ids of the uploads below `prefix + "/"`, by the key of the object."""
        found: dict[str, list[str]] = {}
        text = self._ask("GET", "", {"uploads": "", "prefix": f"{prefix}/"})
        for upload in UPLOAD.findall(text):
            found.setdefault(value_of("Key", upload), []).append(value_of("UploadId", upload))
        return found

    def parts(self, key: str, upload: str) -> dict[int, Part]:
        """The parts of an upload that the store has, by their numbers."""
        found: dict[int, Part] = {}
        marker = "0"
        while True:
            text = self._ask("GET", key, {"uploadId": upload, "part-number-marker": marker})
            for part in PART.findall(text):
                size, tag = int(value_of("Size", part)), value_of("ETag", part)
                found[int(value_of("PartNumber", part))] = Part(size, bare(tag) or "")
            following = NEXT.search(text)
            if TRUNCATED not in text or following is None or following[1] == marker:
                return found
            marker = following[1]

    def send(self, key: str, upload: str, number: int, content: bytes) -> str:
        """The tag of a part, once stored."""
        query = {"partNumber": str(number), "uploadId": upload}
        for attempt in range(1, ATTEMPTS + 1):
            try:
                return self._put(key, query, content)
            except (OSError, Refused):
                if attempt == ATTEMPTS:
                    raise
        raise AssertionError("the last attempt returns or raises")

    def complete(self, key: str, upload: str, tags: Sequence[str]) -> None:
        """Put the parts together; from then on the object is there."""
        listed = "".join(
            f"<Part><PartNumber>{number}</PartNumber><ETag>{tag}</ETag></Part>" for number, tag in enumerate(tags, 1)
        )
        body = f"<CompleteMultipartUpload>{listed}</CompleteMultipartUpload>".encode()
        if "<Error>" in self._ask("POST", key, {"uploadId": upload}, body):
            raise Refused("the parts do not fit together")

    def abort(self, key: str, upload: str) -> None:
        """Have the store forget an upload and its parts."""
        self._ask("DELETE", key, {"uploadId": upload})

    def _put(self, key: str, query: Mapping[str, str], content: bytes) -> str:
        headers, _ = self._exchange("PUT", key, query, content)
        return bare(headers.get("ETag")) or ""

    def _ask(self, method: str, key: str, query: Mapping[str, str], body: bytes = b"") -> str:
        _, answer = self._exchange(method, key, query, body)
        return answer.decode(errors="replace")

    def _exchange(
        self, method: str, key: str, query: Mapping[str, str], body: bytes
    ) -> tuple[http.client.HTTPMessage, bytes]:
        path = "/".join((self._base.path.rstrip("/"), key)) if key else self._base.path or "/"
        request = Request(method, self._base.netloc, path, query, body=body)
        connection = self._connection(ANSWER_SECONDS if body else self._options.read_timeout_seconds)
        try:
            headers = signed_headers(request, self._identity, datetime.now(UTC))
            connection.request(method, request.target, body, headers)
            answer = connection.getresponse()
            content = answer.read(MAX_ANSWER_BYTES + 1)
        except http.client.HTTPException as error:
            raise Refused(type(error).__name__) from None
        finally:
            connection.close()
        if answer.status // 100 != 2 or len(content) > MAX_ANSWER_BYTES:
            raise Refused(f"status {answer.status}")
        return answer.headers, content

    def _connection(self, seconds: float) -> http.client.HTTPConnection:
        host, port = self._base.hostname or "", self._base.port
        if self._base.scheme == "http":
            return http.client.HTTPConnection(host, port, timeout=seconds)
        return http.client.HTTPSConnection(host, port, timeout=seconds, context=tls_context(self._options))


def open_leftovers(address: Address, options: StorageOptions) -> Leftovers | None:
    """Where to ask for what was left; None where it cannot be asked from here: no bucket, no credentials, a proxy."""
    if not address.bucket or options.access_key_id is None or options.secret_access_key is None:
        return None
    token = options.session_token.get_secret_value() if options.session_token else None
    identity = Identity(
        options.access_key_id.get_secret_value(),
        options.secret_access_key.get_secret_value(),
        token,
        options.region or DEFAULT_REGION,
    )
    leftovers = Leftovers(address, options, identity)
    return None if options.use_environment_proxy and behind_proxy(leftovers._base) else leftovers


def base_of(bucket: str, options: StorageOptions, region: str) -> SplitResult:
    """The address of the bucket."""
    address = urlsplit(options.endpoint or f"https://s3.{region}.amazonaws.com")
    if is_virtual_hosted(bucket, options):
        return address._replace(netloc=f"{bucket}.{address.netloc}")
    return address._replace(path=f"{address.path.rstrip('/')}/{bucket}")


def behind_proxy(base: SplitResult) -> bool:
    """Whether the environment wants requests to this address to go through a proxy."""
    return base.scheme in urllib.request.getproxies() and not urllib.request.proxy_bypass(base.netloc)


def tls_context(options: StorageOptions) -> ssl.SSLContext:
    """Whom to trust, as for every other request."""
    context = ssl.create_default_context()
    if (pem := options.ca_pem or read_ca(options)) is not None:
        context.load_verify_locations(cadata=pem.decode())
    if options.insecure_skip_tls_verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def value_of(name: str, text: str) -> str:
    """What stands in an element."""
    match = re.search(f"<{name}>([^<]*)</{name}>", text)
    if match is None:
        raise Refused(f"an answer without {name}")
    return html.unescape(match[1])
