"""`mmm-server fetch`: bring the model version that the environment names to the model root, then exit.

Runs as init container and as prefetch job, with `--follow` (see `follow`) as side-car; needs no torch. A failure leaves
one JSON line in the termination log: what the operator shows to the user. How far a fetch has come stands in its log
and in `.partial-<hex>/.progress.json`.
"""

import asyncio
import logging
import signal
import threading
import time
from collections.abc import Callable, Coroutine
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from mmm_repository import (
    AddressingStyle,
    FetchOptions,
    OnProgress,
    Phase,
    Progress,
    RepositoryError,
    Retention,
    StorageOptions,
    fetch,
    verify_in_place,
)
from mmm_server.errors import Fatal, InternalError
from mmm_server.logs import fields, set_up_logs
from mmm_server.progress_page import ProgressPage, served
from mmm_server.settings import STATE_DIR
from mmm_server.termination import write_termination

EXIT_OK = 0
EXIT_STOPPED = 1
EXIT_USAGE = 2
PROGRESS_SECONDS = 5.0

SAYINGS = {
    **dict.fromkeys(Phase, "at work"),
    Phase.WAIT: "somebody else fetches this version; waiting",
    Phase.DOWNLOAD: "downloading",
    Phase.VERIFY: "comparing hashes",
}

log = logging.getLogger(__name__)

Digests = Annotated[
    frozenset[str], BeforeValidator(lambda digests: frozenset(str(digests).replace(",", " ").split())), NoDecode
]
LogLevel = Annotated[Literal["DEBUG", "INFO", "WARNING", "ERROR"], BeforeValidator(lambda level: str(level).upper())]


class CacheCheck(StrEnum):
    """How a version that is there already is looked at before it is used."""

    SIZES = "Sizes"
    HASHES = "Hashes"


class FetchSettings(BaseSettings):
    """The environment of the fetch container. Empty variables count as unset."""

    model_config = SettingsConfigDict(env_ignore_empty=True, frozen=True, hide_input_in_errors=True, extra="ignore")

    root: Path = Field(default=Path("/models"), validation_alias="MMM_MODEL_ROOT")
    version: str = Field(validation_alias="MMM_MODEL_VERSION")
    digest: str = Field(validation_alias="MMM_MODEL_DIGEST")
    uri: str = Field(default="", validation_alias="MMM_SOURCE_URI")
    in_place: bool = Field(default=False, validation_alias="MMM_MODEL_IN_PLACE")
    max_bytes: int = Field(default=0, ge=0, validation_alias="MMM_MAX_MODEL_BYTES")
    cache_check: CacheCheck = Field(default=CacheCheck.SIZES, validation_alias="MMM_CACHE_CHECK")
    retain_versions: int = Field(default=0, ge=0, validation_alias="MMM_RETAIN_VERSIONS")
    keep_digests: Digests = Field(default=frozenset(), validation_alias="MMM_KEEP_DIGESTS")
    operations_port: int = Field(default=0, ge=0, le=65535, validation_alias="MMM_OPERATIONS_PORT")
    log_level: LogLevel = Field(default="INFO", validation_alias="MMM_LOG_LEVEL")
    rollout_dir: Path = Field(default=Path("/etc/multimodal/rollout"), validation_alias="MMM_ROLLOUT_DIR")
    state_dir: Path = Field(default=STATE_DIR, validation_alias="MMM_STATE_DIR")

    endpoint: str | None = Field(default=None, validation_alias="MMM_S3_ENDPOINT")
    region: str | None = Field(default=None, validation_alias="MMM_S3_REGION")
    addressing_style: AddressingStyle = Field(default=AddressingStyle.AUTO, validation_alias="MMM_S3_ADDRESSING_STYLE")
    ca_file: Path | None = Field(default=None, validation_alias="MMM_S3_CA_FILE")
    insecure_skip_tls_verify: bool = Field(default=False, validation_alias="MMM_S3_INSECURE_SKIP_TLS_VERIFY")
    access_key_id: SecretStr | None = Field(default=None, validation_alias="AWS_ACCESS_KEY_ID")
    secret_access_key: SecretStr | None = Field(default=None, validation_alias="AWS_SECRET_ACCESS_KEY")
    session_token: SecretStr | None = Field(default=None, validation_alias="AWS_SESSION_TOKEN")

    @model_validator(mode="after")
    def _has_one_source(self) -> Self:
        if bool(self.uri) is self.in_place:
            raise ValueError("set either MMM_SOURCE_URI or MMM_MODEL_IN_PLACE")
        return self

    def options(self, progress: OnProgress) -> FetchOptions:
        """Limits of the fetch, and what is done with versions that are there already."""
        return FetchOptions(
            max_bytes=self.max_bytes,
            rehash_existing=self.cache_check is CacheCheck.HASHES,
            retention=Retention(self.retain_versions, self.keep_digests),
            progress=progress,
        )

    def storage(self) -> StorageOptions:
        """How to reach the store; raises ValidationError."""
        return StorageOptions(
            endpoint=self.endpoint,
            region=self.region,
            addressing_style=self.addressing_style,
            access_key_id=self.access_key_id,
            secret_access_key=self.secret_access_key,
            session_token=self.session_token,
            ca_file=self.ca_file,
            insecure_skip_tls_verify=self.insecure_skip_tls_verify,
        )


Work = Callable[[FetchSettings, StorageOptions], Coroutine[object, object, None]]


class TerminationSettings(BaseSettings):
    """Where to leave the reason of a failure; read apart, so that it is known when the rest cannot be read."""

    model_config = SettingsConfigDict(env_ignore_empty=True, frozen=True, extra="ignore")

    path: Path = Field(default=Path("/dev/termination-log"), validation_alias="MMM_TERMINATION_LOG")


class FetchFailed(Fatal):
    """The version could not be brought here; the repository's reason, words and exit code."""

    def __init__(self, reason: str, message: str, exit_code: int) -> None:
        super().__init__(message)
        self._reason = reason
        self.exit_code = exit_code

    @property
    def reason(self) -> str:
        """The repository's word, not this class's name."""
        return self._reason


def run_fetch(work: Work | None = None) -> int:
    """The exit code: 0 the version is there, 1 a retry may heal it, 2 the environment is wrong, 3 a human must act."""
    set_up_logs("INFO")
    try:
        settings, storage = load_fetch_settings()
        log.setLevel(settings.log_level)
        return asyncio.run(unless_stopped((work or fetch_version)(settings, storage)))
    except Fatal as fatal:
        failure = fatal
    except RepositoryError as error:
        failure = FetchFailed(error.reason, error.message, error.exit_code)
    except Exception:
        log.exception("the fetcher has a bug")
        failure = InternalError("The fetcher failed unexpectedly; its log says where.")
    write_termination(TerminationSettings().path, failure)
    return failure.exit_code


def load_fetch_settings() -> tuple[FetchSettings, StorageOptions]:
    """The checked environment; raises FetchFailed with one sentence where it makes no sense."""
    try:
        settings = FetchSettings()
        return settings, settings.storage()
    except ValidationError as error:
        sentence = f"The fetcher's settings are wrong: {faults(error)}."
        raise FetchFailed("InternalError", sentence, EXIT_USAGE) from None


async def unless_stopped(work: Coroutine[object, object, None]) -> int:
    """The exit code of work that ends early, keeping what has arrived, when the process is told to stop."""
    task = asyncio.ensure_future(work)
    loop = asyncio.get_running_loop()
    for stop in (signal.SIGTERM, signal.SIGINT):
        # As first process of a container it would otherwise not hear SIGTERM at all.
        loop.add_signal_handler(stop, task.cancel)
    try:
        await task
    except asyncio.CancelledError:
        log.warning("told to stop; the next run goes on from here")
        return EXIT_STOPPED
    return EXIT_OK


async def fetch_version(settings: FetchSettings, storage: StorageOptions) -> None:
    """Have the version in the model root."""
    facts = {"uri": settings.uri, "version": settings.version, "digest": settings.digest}
    log.info("checking" if settings.in_place else "fetching", extra=fields(**facts))
    began = time.monotonic()
    page = ProgressPage(ProgressLog())
    with served(page, settings.operations_port):
        directory = await have_version(settings, storage, page)
    seconds = round(time.monotonic() - began, 3)
    log.info("the version is there", extra=fields(**facts, directory=str(directory), seconds=seconds))


async def have_version(settings: FetchSettings, storage: StorageOptions, progress: OnProgress) -> Path:
    """The directory of the version: fetched, or found where it is mounted."""
    if settings.in_place:
        return await verified_in_place(settings, progress)
    options = settings.options(progress)
    return await fetch(settings.uri, settings.version, settings.digest, settings.root, storage, options)


async def verified_in_place(settings: FetchSettings, progress: OnProgress) -> Path:
    """The directory of a version that is mounted. When cancelled, ends with the block that is being hashed."""
    stopped = threading.Event()

    def listen(now: Progress) -> None:
        if stopped.is_set():
            raise Stopped
        progress(now)

    check = asyncio.ensure_future(asyncio.to_thread(verify_in_place, settings.root, settings.digest, listen))
    try:
        return await asyncio.shield(check)
    except asyncio.CancelledError:
        stopped.set()
        await asyncio.wait([check])
        check.exception()
        raise


class Stopped(Exception):
    """Nobody waits for the outcome any more."""


class ProgressLog:
    """Logs how far a fetch has come: when a phase begins, and every few seconds after."""

    def __init__(self) -> None:
        self._phase: Phase | None = None
        self._last = 0.0

    def __call__(self, progress: Progress) -> None:
        """Log the progress, unless the last line is recent."""
        now = time.monotonic()
        if progress.phase is self._phase and now - self._last < PROGRESS_SECONDS:
            return
        self._phase, self._last = progress.phase, now
        percent = round(100 * progress.done_bytes / progress.total_bytes, 1) if progress.total_bytes else None
        counts = fields(done_bytes=progress.done_bytes, total_bytes=progress.total_bytes, percent=percent)
        log.info(SAYINGS[progress.phase], extra=counts)


def faults(error: ValidationError) -> str:
    """Which settings are wrong and why, without their values."""
    found = error.errors(include_url=False, include_input=False, include_context=False)
    return "; ".join(f"{'.'.join(map(str, fault['loc'])) or 'storage'}: {fault['msg']}" for fault in found[:5])
