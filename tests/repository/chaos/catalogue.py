"""Every fault by name, with what a user must be told where it lasts: for each operation its own reason.

A reason that ends with `~` is one that a retry may heal; `ok` means that the fault does no harm, `missing` that the
store says that there is no such object. Where several stand, the client may find the one or the other first.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from tests.repository.chaos import spoilers
from tests.repository.chaos.proxy import Operation, Spoil
from tests.repository.chaos.spoilers import refuses, with_body, with_headers

HEAD, MANIFEST, PART, LIST = Operation.HEAD, Operation.MANIFEST, Operation.PART, Operation.LIST
OPERATIONS = (HEAD, MANIFEST, PART, LIST)

DENIED = "AccessDenied"
GONE = "EndpointUnreachable~"
WRONG_PLACE = "EndpointUnreachable"
BROKEN = "EndpointUnreachable EndpointUnreachable~"


@dataclass(frozen=True)
class Fault:
    """A fault, what is said of it in general, and where something else is said."""

    name: str
    spoil: Spoil
    said: str
    elsewhere: Mapping[Operation, str] = field(default_factory=dict)

    def outcomes(self, operation: Operation) -> set[str]:
        """What may come of the operation while the fault lasts."""
        return set(self.elsewhere.get(operation, self.said).split())


def error(status: str, code: str, said: str, **elsewhere: str) -> Fault:
    """A store that answers with an error of S3."""
    return Fault(f"{status} {code}".strip(), refuses(status, code), said, _by_operation(elsewhere))


def _by_operation(elsewhere: Mapping[str, str]) -> dict[Operation, str]:
    return {Operation[name.upper()]: said for name, said in elsewhere.items()}


REFUSALS = (
    error("403 Forbidden", "AccessDenied", DENIED),
    error("403 Forbidden", "", DENIED),
    error("401 Unauthorized", "", DENIED),
    error("403 Forbidden", "RequestTimeTooSkewed", DENIED),
    error("403 Forbidden", "SignatureDoesNotMatch", DENIED),
    error("403 Forbidden", "InvalidAccessKeyId", DENIED),
    error("400 Bad Request", "ExpiredToken", DENIED, head=WRONG_PLACE),
    error("404 Not Found", "NoSuchBucket", "ModelNotFound", head="missing"),
    error("404 Not Found", "NoSuchKey", "", head="missing", manifest="IncompleteUpload~", part="DigestMismatch",
          list="ModelNotFound"),
    error("404 Not Found", "", "", head="missing", manifest="IncompleteUpload~", part="DigestMismatch",
          list="ModelNotFound"),
    error("400 Bad Request", "InvalidRequest", WRONG_PLACE),
    error("400 Bad Request", "AuthorizationHeaderMalformed", WRONG_PLACE),
    error("405 Method Not Allowed", "MethodNotAllowed", WRONG_PLACE),
    error("416 Range Not Satisfiable", "InvalidRange", GONE),
    error("501 Not Implemented", "NotImplemented", WRONG_PLACE),
    error("408 Request Timeout", "RequestTimeout", GONE),
    error("429 Too Many Requests", "TooManyRequests", GONE),
    error("500 Internal Server Error", "InternalError", GONE),
    error("502 Bad Gateway", "", GONE),
    error("503 Service Unavailable", "SlowDown", GONE),
    error("504 Gateway Timeout", "", GONE),
)  # fmt: skip

REDIRECTS = (
    Fault("301 to another region", refuses("301 Moved Permanently", "PermanentRedirect"), WRONG_PLACE),
    Fault("301 led elsewhere", refuses("301 Moved Permanently", "", Location="{canary}/steal"), WRONG_PLACE),
    Fault("302 led elsewhere", refuses("302 Found", "", Location="{canary}/steal"), WRONG_PLACE),
    Fault("307 led elsewhere", refuses("307 Temporary Redirect", "Redirect", Location="{canary}/steal"), WRONG_PLACE),
    Fault("308 led elsewhere", refuses("308 Permanent Redirect", "", Location="{canary}/steal"), WRONG_PLACE),
)

CONNECTIONS = (
    Fault("reset at once", spoilers.resets_at_once, GONE),
    Fault("reset in the head", spoilers.resets_in_the_head, GONE),
    Fault("reset in the body", spoilers.resets_in_the_body, GONE, {HEAD: "ok"}),
    Fault("closed in the body", spoilers.closes_in_the_body, GONE, {HEAD: "ok"}),
    Fault("closed without a word", spoilers.closes_silently, GONE),
    Fault("stall at once", spoilers.stalls_at_once, GONE),
    Fault("stall in the head", spoilers.stalls_in_the_head, GONE),
    Fault("stall in the body", spoilers.stalls_in_the_body, GONE, {HEAD: "ok"}),
    Fault("slow drip", spoilers.drips, GONE),
    Fault("another protocol", spoilers.speaks_something_else, GONE),
    Fault("headers without end", spoilers.sends_headers_without_end, GONE),
)

LENGTHS = (
    Fault("empty body", with_body(lambda body: b""), "", {
        HEAD: "ok", MANIFEST: "DigestMismatch", PART: GONE, LIST: BROKEN}),
    Fault("half the body", with_body(lambda body: body[: len(body) // 2]), "", {
        HEAD: "ok", MANIFEST: "DigestMismatch", PART: GONE, LIST: BROKEN}),
    Fault("twice the body", with_body(lambda body: body * 2), "", {
        HEAD: "ok", MANIFEST: "DigestMismatch", PART: GONE, LIST: "ok " + BROKEN}),
    Fault("more than its length", spoilers.sends_more_than_its_length, "ok"),
    Fault("length too long", with_headers(content_length="99999999"), GONE, {HEAD: "ok", MANIFEST: "InvalidManifest"}),
    Fault("length of a terabyte", with_headers(content_length=str(10**12)), GONE, {
        HEAD: "ok", MANIFEST: "InvalidManifest"}),
    Fault("length that is no number", with_headers(content_length="many"), GONE),
    Fault("negative length", with_headers(content_length="-1"), GONE),
    Fault("body without end", spoilers.never_ends, BROKEN, {HEAD: BROKEN}),
)  # fmt: skip

LIES = (
    Fault("one bit", with_body(spoilers.flipped), "", {
        HEAD: "ok", MANIFEST: "DigestMismatch", PART: "DigestMismatch", LIST: "ok " + BROKEN}),
    Fault("zeros", with_body(lambda body: bytes(len(body))), "", {
        HEAD: "ok", MANIFEST: "DigestMismatch", PART: "DigestMismatch", LIST: BROKEN}),
    Fault("a page of a portal", with_body(lambda body: b"<html>Welcome</html>" if body else b""), "", {
        HEAD: "ok", MANIFEST: "DigestMismatch", PART: GONE, LIST: "ModelNotFound " + BROKEN}),
    Fault("another status of success", spoilers.changed(lambda answer: replace(answer, status="204 No Content",
          headers={"Connection": "close"}, body=b"")), BROKEN),
    Fault("no tag and no date", with_headers(etag=None, last_modified=None), BROKEN + " ok"),
    Fault("compressed, it says", with_headers(content_encoding="gzip"), "ok " + BROKEN, {
        MANIFEST: "ok DigestMismatch " + BROKEN}),
    Fault("range of another place", with_headers(content_range="bytes 7-9/10"), "ok", {
        PART: BROKEN + " DigestMismatch"}),
    Fault("range without sense", with_headers(content_range="octets all"), "ok", {PART: BROKEN}),
    Fault("whole object instead of a part", spoilers.changed(lambda answer: replace(answer, status="200 OK")),
          "ok", {PART: BROKEN}),
)  # fmt: skip

FAULTS = (*REFUSALS, *REDIRECTS, *CONNECTIONS, *LENGTHS, *LIES)
