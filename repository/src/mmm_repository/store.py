"""One opened container (a bucket or a directory): the only module that talks to obstore.

Every method raises our errors only, or ObjectMissing where an object is asked for by name.
"""

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError, NotModifiedError, PreconditionError
from obstore.store import LocalStore, S3Store

from mmm_repository.errors import AccessDenied, EndpointUnreachable, ModelNotFound, RepositoryError, TLSVerifyFailed
from mmm_repository.failures import ObjectMissing, Place, translated
from mmm_repository.proxies import proxy_config
from mmm_repository.storage import Address, AddressingStyle, StorageOptions

if TYPE_CHECKING:
    from obstore import GetOptions
    from obstore.store import ClientConfig, RetryConfig, S3Config, S3Credential, S3CredentialProvider

__all__ = ["ObjectAlreadyThere", "ObjectChanged", "ObjectMissing", "ObjectStat", "Store", "open_store"]

DEFAULT_REGION = "us-east-1"
RETRIES: "RetryConfig" = {
    "max_retries": 3,
    "retry_timeout": timedelta(seconds=15),
    "backoff": {"init_backoff": timedelta(milliseconds=100), "max_backoff": timedelta(seconds=3), "base": 2},
}
HASH_ATTRIBUTE = "sha256"


class ObjectAlreadyThere(Exception):
    """An object of that name exists, and was to be created only."""


class ObjectChanged(Exception):
    """An object is not any more what it was when it was listed."""


class Unchanged(Exception):
    """An object still is what it was when it was read last."""


@dataclass(frozen=True, slots=True)
class Reading:
    """An object that was read; `content` is None where it is longer than allowed. `tag` changes with it."""

    content: bytes | None
    tag: str | None


@dataclass(frozen=True)
class ObjectStat:
    """What a store tells of an object without sending it. `sha256` is what its publisher recorded, if anything.

    `tag` changes with the object; None where the store gives none. A listing tells no `sha256`.
    """

    size: int
    sha256: str | None
    tag: str | None = None


class Store:
    """A bucket or a directory, opened."""

    def __init__(self, inner: S3Store | LocalStore, place: Place) -> None:
        self._inner = inner
        self._place = place

    @property
    def is_local(self) -> bool:
        """Whether this is a directory of this machine."""
        return isinstance(self._inner, LocalStore)

    async def read(self, key: str, max_bytes: int) -> bytes | None:
        """The whole object, or None when it is longer than `max_bytes`."""
        with self._errors():
            result = await obstore.get_async(self._inner, key)
            if result.meta["size"] > max_bytes:
                return None
            return bytes(await result.bytes_async())

    async def read_if_changed(self, key: str, max_bytes: int, tag: str | None) -> "Reading | None":
        """The whole object; None when it still has this tag. Not every store knows the condition."""
        options: GetOptions = {"if_none_match": tag} if tag else {}
        try:
            with self._errors():
                result = await obstore.get_async(self._inner, key, options=options)
                new = result.meta["e_tag"]
                if tag is not None and new == tag:
                    return None
                too_long = result.meta["size"] > max_bytes
                return Reading(None if too_long else bytes(await result.bytes_async()), new)
        except Unchanged:
            return None

    async def read_range(self, key: str, start: int, end: int, tag: str | None = None) -> tuple[memoryview, int]:
        """The bytes from `start` up to `end`, and the length of the whole object.

        Raises ObjectChanged where a `tag` is given that the object has no more. Not every store knows the condition,
        so the answer's own tag is compared too.
        """
        options: GetOptions = {"range": (start, end), **condition(tag)}
        with self._errors(conditional=tag is not None):
            result = await obstore.get_async(self._inner, key, options=options)
            found = bare(result.meta["e_tag"])
            content = memoryview(await result.bytes_async())
        if tag is not None and found != tag:
            raise ObjectChanged
        return content, result.meta["size"]

    async def stat(self, key: str) -> ObjectStat:
        """Size and recorded hash of an object."""
        with self._errors():
            result = await obstore.get_async(self._inner, key, options={"head": True})
            recorded = result.attributes.get(HASH_ATTRIBUTE)
            sha256 = recorded if isinstance(recorded, str) else None
            return ObjectStat(result.meta["size"], sha256, bare(result.meta["e_tag"]))

    async def stat_all(self, prefix: str, *, most: int = 0) -> dict[str, ObjectStat]:
        """Size and tag of every object below `prefix + "/"`, by what follows it; for the price of a listing.

        With `most` the listing ends once so many were found.
        """
        found: dict[str, ObjectStat] = {}
        below = f"{prefix}/" if prefix else ""
        try:
            with self._errors():
                async for chunk in obstore.list(self._inner, below or None, chunk_size=1000):
                    for meta in chunk:
                        # What some tools put in place of the directory itself is not below it.
                        if meta["path"].startswith(below):
                            path = meta["path"].removeprefix(below)
                            found[path] = ObjectStat(meta["size"], None, bare(meta["e_tag"]))
                    if most and len(found) >= most:
                        break
        except ObjectMissing:
            # Some stores, and directories, answer a listing of nothing so.
            return {}
        return found

    async def write(self, key: str, content: bytes, sha256: str) -> str | None:
        """Store a small object, replacing what is there; its tag."""
        with self._errors():
            attributes = self._attributes(sha256)
            result = await obstore.put_async(self._inner, key, content, attributes=attributes, use_multipart=False)
            return bare(result["e_tag"])

    async def write_stream(
        self, key: str, parts: AsyncIterator[bytes], sha256: str, *, part_bytes: int, parallel_parts: int
    ) -> str | None:
        """Store a large object part by part; its tag. It appears once `parts` ends, and never if `parts` raises."""
        with self._errors():
            result = await obstore.put_async(
                self._inner,
                key,
                parts,
                attributes=self._attributes(sha256),
                chunk_size=part_bytes,
                max_concurrency=parallel_parts,
            )
            return bare(result["e_tag"])

    async def copy(self, source: str, target: str) -> None:
        """Have the store copy an object, with what its publisher recorded; replaces what is there."""
        with self._errors():
            await obstore.copy_async(self._inner, source, target)

    async def create(self, key: str, content: bytes) -> None:
        """Store an object that must not exist yet; raises ObjectAlreadyThere."""
        with self._errors():
            await obstore.put_async(self._inner, key, content, mode="create")

    async def children(self, prefix: str) -> list[str]:
        """The names of the directories right below the prefix."""
        with self._errors():
            found = await obstore.list_with_delimiter_async(self._inner, f"{prefix}/" if prefix else None)
            return [path.rstrip("/").rpartition("/")[2] for path in found["common_prefixes"]]

    async def has_objects(self, prefix: str) -> bool:
        """Whether anything at all lies below `prefix + "/"`."""
        try:
            with self._errors():
                async for chunk in obstore.list(self._inner, f"{prefix}/" if prefix else None, chunk_size=1):
                    if chunk:
                        return True
        except ObjectMissing:
            # A bucket that exists can be listed: this is some other web server, or a gateway in between.
            if not self.is_local:
                host = self._place.host
                message = f"{host} answers, but not as an object store does. Correct the endpoint."
                raise EndpointUnreachable(message, retryable=False) from None
        return False

    def _attributes(self, sha256: str) -> dict[str, str] | None:
        # Directories keep no attributes beside a file.
        return None if self.is_local else {HASH_ATTRIBUTE: sha256}

    @contextmanager
    def _errors(self, *, conditional: bool = False) -> Iterator[None]:
        try:
            yield
        except (AlreadyExistsError, FileExistsError):
            raise ObjectAlreadyThere from None
        except NotModifiedError:
            raise Unchanged from None
        except PreconditionError as error:
            raise (ObjectChanged() if conditional else translated(error, self._place)) from None
        except (BaseError, OSError, ValueError) as error:
            # Without its cause: a traceback in a log must not show addresses and bodies either.
            raise translated(error, self._place) from None
        except Exception as error:
            # What the client's own code did not expect; it has told the process' standard error.
            if type(error).__name__ != "RustPanic":
                raise
            raise RepositoryError(f"The S3 client failed with these options of {self._place.host}.") from None


def condition(tag: str | None) -> "GetOptions":
    """The condition that an object still has this tag; none without one."""
    return {} if tag is None else {"if_match": f'"{tag}"'}


def bare(tag: str | None) -> str | None:
    """A tag without the quotes that some answers have and others lack."""
    return tag.strip('"') if tag else None


def open_store(address: Address, options: StorageOptions, *, create: bool = False) -> Store:
    """The container that an address lies in; no request is made. `create` makes a missing directory."""
    if address.directory is not None:
        return open_directory(address.directory, create=create)
    ca_pem = options.ca_pem or read_ca(options)
    return open_bucket(address.bucket, options.model_copy(update={"ca_pem": ca_pem, "ca_file": None}))


def open_directory(directory: Path, *, create: bool) -> Store:
    """A directory as a store."""
    place = Place(container=f"directory {directory}", host=str(directory))
    if not create and not directory.is_dir():
        raise ModelNotFound(f"There is no directory {directory}. Create it, or correct the uri.")
    try:
        return Store(LocalStore(directory, mkdir=create), place)
    except (BaseError, OSError, ValueError):
        raise ModelNotFound(f"The directory {directory} cannot be opened.") from None


# Keeps connections alive between polls. Few, as credentials stay in memory for as long as an entry does.
@lru_cache(maxsize=64)
def open_bucket(bucket: str, options: StorageOptions) -> Store:
    """A bucket as a store; the same one for the same options."""
    host = urlsplit(options.endpoint).netloc if options.endpoint else "AWS"
    place = Place(container=f"bucket {bucket}", host=host)
    check_options(bucket, options)
    try:
        inner = S3Store(
            bucket,
            config=s3_config(bucket, options),
            client_options=client_options(options),
            retry_config=RETRIES,
            credential_provider=credential_provider(options),
        )
    except (BaseError, ValueError) as error:
        raise unopened(error, options, place) from None
    return Store(inner, place)


def check_options(bucket: str, options: StorageOptions) -> None:
    """Raise what is wrong with options that the client would not survive."""
    for key in (options.access_key_id, options.secret_access_key, options.session_token):
        if key is not None and not key.get_secret_value().isprintable():
            raise AccessDenied(
                "The credentials hold a line break or another character that no key has. Write them again: `echo` adds "
                "a line break, `printf %s` does not."
            )
    host = urlsplit(options.endpoint).hostname if options.endpoint else None
    if host is not None and is_virtual_hosted(bucket, options) and is_address(host):
        raise EndpointUnreachable(
            f"With addressing style Virtual the bucket goes before the host, so that cannot be an address: {host}. "
            "Use Path, or the host's name.",
            retryable=False,
        )


def is_address(host: str) -> bool:
    """Whether a host is written as an IP address."""
    try:
        return bool(ip_address(host.partition("%")[0]))
    except ValueError:
        return False


def unopened(error: Exception, options: StorageOptions, place: Place) -> RepositoryError:
    """Why a client could not even be made."""
    if options.ca_pem is not None and "cert" in str(error).lower():
        return TLSVerifyFailed("The CA bundle holds no certificate that can be read. Give it as PEM.")
    return EndpointUnreachable(f"No connection to {place.host} can be set up with these options.", retryable=False)


def s3_config(bucket: str, options: StorageOptions) -> "S3Config":
    """Who asks, and under which address."""
    virtual = is_virtual_hosted(bucket, options)
    config: S3Config = {"virtual_hosted_style_request": virtual, "skip_signature": options.anonymous}
    # Without an explicit region the environment's counts, as it does for every S3 tool.
    if options.region:
        config["region"] = options.region
    if options.endpoint:
        address = urlsplit(options.endpoint)
        host = f"{bucket}.{address.netloc}" if virtual else address.netloc
        config["endpoint"] = address._replace(netloc=host).geturl()
    return config


def credential_provider(options: StorageOptions) -> "S3CredentialProvider | None":
    """The given credentials and nothing of the environment's beside them; None for the ambient identity."""
    if options.access_key_id is None or options.secret_access_key is None:
        return None
    credential: S3Credential = {
        "access_key_id": options.access_key_id.get_secret_value(),
        "secret_access_key": options.secret_access_key.get_secret_value(),
        "token": options.session_token.get_secret_value() if options.session_token else None,
        "expires_at": None,
    }
    return lambda: credential


def is_virtual_hosted(bucket: str, options: StorageOptions) -> bool:
    """Whether the bucket's name goes before the host."""
    if options.addressing_style is AddressingStyle.AUTO:
        # AWS wants it so, but a dot in the name breaks its wildcard certificate; other stores rarely have the DNS.
        return options.endpoint is None and "." not in bucket
    return options.addressing_style is AddressingStyle.VIRTUAL


def client_options(options: StorageOptions) -> "ClientConfig":
    """Time limits, trust and proxies of the HTTP client."""
    client: ClientConfig = {
        "allow_http": True,
        "connect_timeout": timedelta(seconds=options.connect_timeout_seconds),
        "read_timeout": timedelta(seconds=options.read_timeout_seconds),
        "timeout": timedelta(seconds=options.request_timeout_seconds),
        "user_agent": "multimodal-operator",
        "allow_invalid_certificates": options.insecure_skip_tls_verify,
    }
    if options.ca_pem is not None:
        client["root_certificate"] = options.ca_pem
    client.update(proxy_config(options))
    return client


def read_ca(options: StorageOptions) -> bytes | None:
    """The PEM bytes of the CA file, read anew so that a rotated file counts; None without one."""
    if options.ca_file is None:
        return None
    try:
        return options.ca_file.read_bytes()
    except OSError as error:
        raise TLSVerifyFailed(
            f"The CA file {options.ca_file} cannot be read: {error.strerror}. Mount it, or correct its path."
        ) from None
