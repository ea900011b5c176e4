"""Options and addresses: what is accepted, and that nothing secret is ever shown."""

import pickle

import pytest
from pydantic import ValidationError

from mmm_repository import AddressingStyle, InvalidAddress, RepositoryError, StorageOptions
from mmm_repository import errors as tree
from mmm_repository.storage import check_version, parse_uri
from mmm_repository.store import is_virtual_hosted, s3_config

KEYS = {"access_key_id": "canary-id", "secret_access_key": "canary-secret", "session_token": "canary-token"}


def test_secrets_are_never_shown() -> None:
    options = StorageOptions.model_validate(KEYS | {"ca_pem": b"canary-ca"})
    for text in (
        repr(options),
        str(options),
        str(options.model_dump()),
        f"{options!r:>10}",
        options.model_dump_json(exclude={"ca_pem"}),
    ):
        assert "canary-secret" not in text
        assert "canary-token" not in text
        assert "canary-id" not in text


def test_a_wrong_option_is_refused_without_being_repeated() -> None:
    with pytest.raises(ValidationError) as failure:
        StorageOptions.model_validate({"endpoint": "http://user:canary@host", **KEYS})
    assert "canary" not in str(failure.value)


@pytest.mark.parametrize(
    "endpoint", ["host:9000", "ftp://host", "http://", "https:///x", "http://u:p@host", "http://host?x=1", "http://h#f"]
)
def test_an_endpoint_is_an_http_address(endpoint: str) -> None:
    with pytest.raises(ValidationError):
        StorageOptions(endpoint=endpoint)


def test_half_of_the_credentials_is_none() -> None:
    with pytest.raises(ValidationError, match="only of use together"):
        StorageOptions.model_validate({"access_key_id": "id"})


def test_equal_options_are_one_key() -> None:
    assert len({StorageOptions.model_validate(KEYS), StorageOptions.model_validate(KEYS)}) == 1


def test_the_environment_gives_the_usual_options() -> None:
    options = StorageOptions.from_environment(
        {
            "AWS_ENDPOINT_URL": "http://general",
            "AWS_ENDPOINT_URL_S3": "http://s3:9000/",
            "AWS_DEFAULT_REGION": "eu-central-1",
            "AWS_REGION": "",
            "AWS_ACCESS_KEY_ID": "id",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_SESSION_TOKEN": "",
        }
    )
    assert (options.endpoint, options.region, options.session_token) == ("http://s3:9000", "eu-central-1", None)
    assert options.secret_access_key is not None
    assert options.secret_access_key.get_secret_value() == "secret"


@pytest.mark.parametrize(
    ("endpoint", "style", "bucket", "virtual"),
    [
        (None, "Auto", "models", True),
        (None, "Auto", "my.models", False),
        (None, "Path", "models", False),
        ("http://minio:9000", "Auto", "models", False),
        ("http://minio:9000", "Virtual", "models", True),
    ],
)
def test_where_the_bucket_goes(endpoint: str | None, style: str, bucket: str, virtual: bool) -> None:
    options = StorageOptions(endpoint=endpoint, addressing_style=AddressingStyle(style))
    assert is_virtual_hosted(bucket, options) is virtual
    expected = "http://models.minio:9000" if virtual else "http://minio:9000"
    assert s3_config(bucket, options).get("endpoint") == (expected if endpoint else None)


@pytest.mark.parametrize(
    ("uri", "bucket", "prefix"),
    [
        ("s3://models", "models", ""),
        ("s3://models/", "models", ""),
        ("s3://models/clip", "models", "clip"),
        ("s3://models/team/clip/", "models", "team/clip"),
    ],
)
def test_an_s3_uri_has_a_bucket_and_a_prefix(uri: str, bucket: str, prefix: str) -> None:
    address = parse_uri(uri)
    assert (address.bucket, address.prefix) == (bucket, prefix)
    assert address.version_key("2") == f"{prefix}/2".lstrip("/")
    assert str(address) == uri.rstrip("/")


@pytest.mark.parametrize(
    "uri",
    [
        "",
        "s3://",
        "s3://b",
        "s3:///x",
        "s3://models//x",
        "s3://models/../x",
        "s3://models/a b",
        "s3://models/x?y",
        "gs://x/y",
    ],
)
def test_other_uris_are_refused(uri: str) -> None:
    with pytest.raises(InvalidAddress):
        parse_uri(uri)


@pytest.mark.parametrize("version", ["", ".", "..", "-1", "1-", "a/b", "1\n", "ü", "v" * 129, " 1", "1%2f"])
def test_other_versions_are_refused(version: str) -> None:
    with pytest.raises(InvalidAddress):
        check_version(version)


def all_errors() -> list[type[RepositoryError]]:
    return [error for error in vars(tree).values() if isinstance(error, type) and issubclass(error, RepositoryError)]


@pytest.mark.parametrize("error", all_errors())
def test_every_error_has_a_reason_a_message_and_an_exit_code(error: type[RepositoryError]) -> None:
    assert error.reason.isidentifier()
    assert error("A sentence.").message == str(error("A sentence.")) == "A sentence."
    assert error("x", retryable=True).exit_code == 1
    assert error("x", retryable=False).exit_code == 3
    assert error.__name__ in (tree.__doc__ or "")
    assert pickle.loads(pickle.dumps(error("A sentence."))).message == "A sentence."  # noqa: S301  our own bytes


def test_the_reasons_are_the_words_of_the_contract() -> None:
    contract = (
        "ModelNotFound VersionNotFound IncompleteUpload AccessDenied EndpointUnreachable TLSVerifyFailed "
        "DigestMismatch InvalidManifest UnsafeArtifact NoSpace ModelTooLarge InternalError "
        "InvalidDirectory NothingToVerify VersionExists"
    )
    assert {error.reason for error in all_errors()} == set(contract.split())
