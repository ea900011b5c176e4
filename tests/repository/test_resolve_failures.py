"""What a user reads when a version cannot be had: every cause has its own reason and a sentence that helps."""

import asyncio
import socket

import pytest
from pydantic import SecretStr

from mmm_repository import (
    AccessDenied,
    AddressingStyle,
    EndpointUnreachable,
    IncompleteUpload,
    InvalidAddress,
    InvalidManifest,
    ModelNotFound,
    RepositoryError,
    StorageOptions,
    VersionNotFound,
    list_versions,
    resolve,
)
from tests.repository import faults
from tests.repository.conftest import Repository


async def test_an_unknown_version_names_those_that_exist(repository: Repository) -> None:
    await repository.published("1")
    await repository.published("2")
    with pytest.raises(VersionNotFound) as failure:
        await resolve(repository.uri, "3", repository.storage)
    assert failure.value.message == f"The bucket {repository.bucket} has no version clip/3; versions found: 1, 2."
    assert not failure.value.retryable


async def test_a_sibling_that_begins_alike_is_never_meant(repository: Repository) -> None:
    await repository.published("v10")
    await repository.published("v1-rc")
    with pytest.raises(VersionNotFound, match="versions found: v1-rc, v10"):
        await resolve(repository.uri, "v1", repository.storage)
    with pytest.raises(ModelNotFound):
        await resolve(repository.uri.removesuffix("ip"), "v10", repository.storage)


async def test_a_half_published_version_is_incomplete(repository: Repository) -> None:
    await repository.published("1")
    (repository.disk / "1" / "manifest.json").unlink()
    with pytest.raises(IncompleteUpload, match=r"no manifest\.json yet") as failure:
        await resolve(repository.uri, "1", repository.storage)
    assert failure.value.retryable


async def test_an_empty_bucket_and_a_missing_bucket_are_told_apart(repository: Repository) -> None:
    with pytest.raises(ModelNotFound, match="Nothing lies under"):
        await resolve(repository.uri, "1", repository.storage)
    with pytest.raises(ModelNotFound, match="Nothing lies under"):
        await list_versions(repository.uri, repository.storage)
    with pytest.raises(ModelNotFound, match="There is no bucket no-such-bucket at 127"):
        await resolve("s3://no-such-bucket/clip", "1", repository.storage)
    with pytest.raises(ModelNotFound, match="There is no bucket no-such-bucket"):
        await list_versions("s3://no-such-bucket/clip", repository.storage)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"secret_access_key": SecretStr("canary-secret")}, "the secret access key does not fit"),
        ({"access_key_id": SecretStr("canary-key")}, "the access key id is unknown"),
    ],
)
async def test_wrong_credentials_are_denied_in_words_that_hold_no_secret(
    repository: Repository, changes: dict[str, SecretStr], words: str
) -> None:
    await repository.published("1")
    wrong = repository.storage.model_copy(update=changes)
    for attempt in (resolve(repository.uri, "1", wrong), list_versions(repository.uri, wrong)):
        with pytest.raises(AccessDenied, match=words) as failure:
            await attempt
        assert not failure.value.retryable
        assert "canary" not in str(failure.value)
        assert failure.value.__cause__ is None
        assert "<" not in failure.value.message


async def test_explicit_credentials_are_not_mixed_with_the_environments(
    repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    await repository.published("1")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "of-somebody-else")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "of-somebody-else")
    await resolve(repository.uri, "1", repository.storage.model_copy(update={"connect_timeout_seconds": 0.9}))


async def test_a_proxy_in_the_environment_is_not_asked(repository: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    await repository.published("1")
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    # Options that were not used before, so that the client is made under this environment.
    await resolve(repository.uri, "1", repository.storage.model_copy(update={"connect_timeout_seconds": 0.8}))
    asked = repository.storage.model_copy(update={"use_environment_proxy": True})
    with pytest.raises(EndpointUnreachable):
        await resolve(repository.uri, "1", asked)


async def test_a_redirect_to_another_host_is_not_followed(repository: Repository) -> None:
    async with faults.StallingProxy(repository.server.endpoint) as elsewhere:
        # The same machine under another name: what counts is what the user wrote.
        there = elsewhere.endpoint.replace("127.0.0.1", "localhost")
        async with faults.answering("307 Temporary Redirect", b"", f"Location: {there}/steal\r\n") as server:
            with pytest.raises(EndpointUnreachable, match="leads requests to another host") as failure:
                await resolve(repository.uri, "1", repository.at(server.endpoint))
        assert not failure.value.retryable
        assert elsewhere.passed == 0


async def test_a_closed_port_refuses(repository: Repository) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # held, so that nobody else comes to listen there
        storage = repository.at(f"http://127.0.0.1:{closed.getsockname()[1]}")
        with pytest.raises(EndpointUnreachable, match="refuses connections") as failure:
            await resolve(repository.uri, "1", storage)
    assert failure.value.retryable


async def test_a_name_that_does_not_resolve_is_said(repository: Repository) -> None:
    with pytest.raises(EndpointUnreachable, match="does not resolve"):
        await resolve(repository.uri, "1", repository.at("http://no-such-host.invalid:9000"))


async def test_a_silent_endpoint_is_given_up(repository: Repository) -> None:
    async with faults.silent() as server:
        with pytest.raises(EndpointUnreachable, match="did not answer in time"):
            await resolve(repository.uri, "1", repository.at(server.endpoint))


async def test_a_resolve_that_takes_too_long_can_be_cancelled(repository: Repository) -> None:
    async with faults.silent() as server:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(resolve(repository.uri, "1", repository.at(server.endpoint)), 0.1)
    await repository.published("1")
    await resolve(repository.uri, "1", repository.storage)


@pytest.mark.parametrize(
    ("status", "body", "error", "words", "retryable"),
    [
        ("503 Slow Down", b"<Error><Code>SlowDown</Code></Error>", EndpointUnreachable, "503 SlowDown", True),
        ("500 Oops", b"<html>secret stack trace</html>", EndpointUnreachable, "answered 500", True),
        ("403 Forbidden", b"<Error><Code>AccessDenied</Code></Error>", AccessDenied, "s3:GetObject", False),
        ("403 Forbidden", b"<Error><Code>RequestTimeTooSkewed</Code></Error>", AccessDenied, "set the clock", False),
        ("403 Forbidden", b"<Error><Code>ExpiredToken</Code></Error>", AccessDenied, "token has expired", False),
        ("401 Unauthorized", b"", AccessDenied, "denied", False),
        ("301 Moved", b"<Error><Code>PermanentRedirect</Code></Error>", EndpointUnreachable, "Set the region", False),
        (
            "400 Bad Request",
            b"<Error><Code>AuthorizationHeaderMalformed</Code></Error>",
            EndpointUnreachable,
            "Set the region",
            False,
        ),
        ("418 Teapot", b"", EndpointUnreachable, "answered 418", False),
        ("404 Not Found", b"<html>no such page</html>", EndpointUnreachable, "not as an object store does", False),
    ],
)
async def test_every_answer_of_a_store_has_its_reason(
    repository: Repository, status: str, body: bytes, error: type[RepositoryError], words: str, retryable: bool
) -> None:
    async with faults.answering(status, body) as server:
        with pytest.raises(error, match=words) as failure:
            await resolve(repository.uri, "1", repository.at(server.endpoint))
    assert failure.value.retryable is retryable
    assert "<" not in str(failure.value)


async def test_an_answer_that_is_no_s3_makes_no_sense(repository: Repository) -> None:
    async with faults.answering("200 OK", b"<html>Welcome</html>") as server:
        with pytest.raises((EndpointUnreachable, InvalidManifest)) as failure:
            await resolve(repository.uri, "1", repository.at(server.endpoint))
    assert "Welcome" not in str(failure.value)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b'{"format":2,"files":[]}',
        b'{"files":[],"format":1,"metadata":{}}',
        b'{"files":[{"path":"../../escape","sha256":"' + b"0" * 64 + b'","size":1}],"format":1,"metadata":{}}',
        b" " * (5 * 2**20),
    ],
)
async def test_a_manifest_that_breaks_the_format_is_refused(repository: Repository, content: bytes) -> None:
    await repository.published("1")
    (repository.disk / "1" / "manifest.json").write_bytes(content)
    with pytest.raises(InvalidManifest):
        await resolve(repository.uri, "1", repository.storage)


@pytest.mark.parametrize(
    ("uri", "version"),
    [
        ("http://host/bucket", "1"),
        ("s3://", "1"),
        ("s3://b", "1"),
        ("s3://bucket/a//b", "1"),
        ("s3://bucket/../other", "1"),
        ("s3://user:password@bucket/x", "1"),
        ("s3://bucket/clip", ""),
        ("s3://bucket/clip", "../clip"),
        ("s3://bucket/clip", "1/2"),
        ("s3://bucket/clip", "1\n"),
        ("s3://bucket/clip", "v" * 129),
    ],
)
async def test_an_address_that_cannot_be_one_makes_no_request(uri: str, version: str) -> None:
    with pytest.raises(InvalidAddress):
        await resolve(uri, version, StorageOptions(endpoint="http://127.0.0.1:1"))


@pytest.mark.parametrize("field", ["access_key_id", "secret_access_key", "session_token"])
async def test_a_line_break_in_a_key_is_said_to_be_one(repository: Repository, field: str) -> None:
    """`echo key | base64` makes such Secrets every day."""
    broken = repository.storage.model_copy(update={field: SecretStr("key\n")})
    with pytest.raises(AccessDenied, match="line break") as failure:
        await resolve(repository.uri, "1", broken)
    assert not failure.value.retryable


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]"])
async def test_an_address_has_no_bucket_before_it(repository: Repository, host: str) -> None:
    update = {"endpoint": f"http://{host}:9000", "addressing_style": AddressingStyle.VIRTUAL}
    with pytest.raises(EndpointUnreachable, match="Use Path") as failure:
        await resolve(repository.uri, "1", repository.storage.model_copy(update=update))
    assert not failure.value.retryable
