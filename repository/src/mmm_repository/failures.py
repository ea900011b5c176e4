"""From what a store answered to what the user should read.

obstore reports most failures as text that quotes addresses and whole XML bodies. Here the few facts in it that
matter (status, S3 error code, kind of network failure) are picked out and the text itself is dropped.
"""

import re
from dataclasses import dataclass

from obstore.exceptions import InvalidPathError, PermissionDeniedError, UnauthenticatedError

from mmm_repository.errors import (
    AccessDenied,
    EndpointUnreachable,
    ModelNotFound,
    RepositoryError,
    TLSVerifyFailed,
    UnsafeArtifact,
)
from mmm_repository.proxies import LED_NOWHERE

STATUS = re.compile(r"non-2xx status code: (\d{3})")
CODE = re.compile(r"<Code>([A-Za-z0-9]{1,64})</Code>")

CREDENTIAL_CODES = {
    "InvalidAccessKeyId": "the access key id is unknown",
    "XAdminUserNotFound": "the access key id is unknown",
    "SignatureDoesNotMatch": "the secret access key does not fit the access key id",
    "ExpiredToken": "the session token has expired",
    "InvalidToken": "the session token is not valid",
    "TokenRefreshRequired": "the session token must be refreshed",
    "RequestTimeTooSkewed": "this machine's clock differs too much from the store's; set the clock",
    "AllAccessDisabled": "all access to the bucket is disabled",
    "AccountProblem": "there is a problem with the account",
}
REGION_CODES = frozenset({"PermanentRedirect", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException"})
# Parts of the addresses where ambient identities are asked for credentials.
IDENTITY_SERVICES = ("/latest/api/token", "/latest/meta-data/", "AssumeRoleWithWebIdentity", "169.254.170.")


@dataclass(frozen=True)
class Place:
    """What a message may say about where a request went."""

    container: str
    host: str


@dataclass(frozen=True)
class Answer:
    """The facts in a failure: HTTP status and S3 error code where the store sent them, and the client's words."""

    status: int | None
    code: str | None
    words: str


class ObjectMissing(Exception):
    """There is no such object; only the caller knows what that means."""


def translated(error: Exception, place: Place) -> RepositoryError | ObjectMissing:
    """The failure of a request as one of ours."""
    if isinstance(error, InvalidPathError):
        return UnsafeArtifact(f"The {place.container} holds an object whose name cannot be a path.")
    answer = read_answer(error)
    if any(service in answer.words for service in IDENTITY_SERVICES):
        return AccessDenied(
            f"No credentials for the {place.container}: none are set, and no ambient identity answers here."
        )
    if is_denied(error, answer):
        return AccessDenied(denied_sentence(answer, place))
    if answer.code == "NoSuchBucket":
        return ModelNotFound(f"There is no {place.container} at {place.host}. Create it, or correct the uri.")
    if isinstance(error, FileNotFoundError) or answer.status == 404:
        return ObjectMissing()
    if answer.status is not None:
        return refused(answer, place)
    return unreachable(error, answer, place)


def read_answer(error: Exception) -> Answer:
    """The facts in the text of an obstore error."""
    text = str(error)
    status = STATUS.search(text)
    code = CODE.search(text)
    # What follows the status line is the server's; only words of the client itself may be matched.
    words = text[: status.start()] if status else text
    return Answer(int(status[1]) if status else None, code[1] if code else None, words)


def is_denied(error: Exception, answer: Answer) -> bool:
    """Whether the store said no to who asks, rather than to what is asked."""
    # Some stores answer an unknown key id with 404, which must not pass for a missing object.
    if isinstance(error, PermissionDeniedError | UnauthenticatedError) or answer.code in CREDENTIAL_CODES:
        return True
    return answer.status in (401, 403) or answer.code == "AccessDenied"


def denied_sentence(answer: Answer, place: Place) -> str:
    """What to do about a refusal."""
    why = CREDENTIAL_CODES.get(answer.code or "")
    if why:
        return f"Access to the {place.container} is denied: {why}."
    return (
        f"Access to the {place.container} is denied. The credentials need s3:GetObject and s3:ListBucket on it, "
        "and s3:PutObject to publish."
    )


def refused(answer: Answer, place: Place) -> RepositoryError:
    """The failure behind an HTTP status that is neither a denial nor a missing object."""
    if answer.code in REGION_CODES or answer.status in (301, 307):
        return wrong_region(place)
    said = f"{answer.status} {answer.code}" if answer.code else str(answer.status)
    if answer.status == 501:
        return EndpointUnreachable(
            f"{place.host} does not know a request that is needed (answered {said}).", retryable=False
        )
    # 416: the client goes on after a broken answer, at a place that a wrong length has led it to.
    retryable = answer.status is None or answer.status >= 500 or answer.status in (408, 409, 416, 429)
    return EndpointUnreachable(f"{place.host} answered {said}.", retryable=retryable)


def wrong_region(place: Place) -> RepositoryError:
    """The failure of asking another region than the bucket's."""
    return EndpointUnreachable(
        f"The {place.container} lives in another region or behind another endpoint than {place.host}. Set the region.",
        retryable=False,
    )


def unreachable(error: Exception, answer: Answer, place: Place) -> RepositoryError:
    """The failure of a request that got no answer, or one that breaks off."""
    words = answer.words
    if "certificate" in words.lower():
        return TLSVerifyFailed(
            f"The certificate of {place.host} is not trusted{certificate_fault(words)}. Give the CA that signed it."
        )
    if LED_NOWHERE.search(words):
        return EndpointUnreachable(
            f"{place.host} leads requests to another host, which is not followed. Correct the endpoint or the region.",
            retryable=False,
        )
    if "BareRedirect" in words or "redirect without LOCATION" in words:
        return wrong_region(place)
    for marker, sentence in (
        ("dns error", f"The name of {place.host} does not resolve."),
        ("Connection refused", f"{place.host} refuses connections: nothing listens there."),
        ("TimedOut", f"{place.host} did not answer in time."),
        ("timed out", f"{place.host} did not answer in time."),
        ("InvalidContentType", f"{place.host} does not speak TLS. Write the endpoint with http://."),
    ):
        if marker in words:
            return EndpointUnreachable(sentence)
    if isinstance(error, OSError):
        return EndpointUnreachable(f"The {place.container} cannot be read: {error.strerror or 'input/output error'}.")
    return EndpointUnreachable(f"The answer of {place.host} broke off or made no sense.")


def certificate_fault(words: str) -> str:
    """What is wrong with the certificate, as far as the client's words tell."""
    for marker, fault in (
        ("UnknownIssuer", " (unknown issuer)"),
        ("Expired", " (expired)"),
        ("NotValidForName", " (for another name)"),
        ("CaUsedAsEndEntity", " (a CA certificate)"),
    ):
        if marker in words:
            return fault
    return ""
