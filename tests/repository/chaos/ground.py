"""A store with one version in it, and operations on it through a proxy: what a user would be told of each."""

from dataclasses import dataclass, field
from pathlib import Path

from mmm_repository import FetchOptions, PublishedVersion, RepositoryError, StorageOptions, fetch, list_versions
from mmm_repository.storage import parse_uri
from mmm_repository.store import ObjectMissing, open_store
from tests.repository.chaos.proxy import Answer, Operation
from tests.repository.chaos.servers import Store

ONE_TRY = FetchOptions(attempts=1, part_bytes=2**20)
SOME_TRIES = FetchOptions(attempts=3, part_bytes=2**20)
IMPATIENT = {"read_timeout_seconds": 2.0, "request_timeout_seconds": 3.0}


@dataclass(frozen=True)
class Ground:
    """The store, what was published there, and what it answered so far."""

    store: Store
    prefix: str
    published: PublishedVersion
    expected: dict[str, str]
    """The version's files by their hashes."""
    recorded: dict[bytes, Answer] = field(default_factory=dict)

    @property
    def uri(self) -> str:
        return f"s3://{self.store.bucket}/{self.prefix}"

    @property
    def hex(self) -> str:
        return self.published.digest.removeprefix("sha256:")

    async def told(
        self, operation: Operation, endpoint: str, root: Path, how: FetchOptions = ONE_TRY
    ) -> tuple[str, str]:
        """The outcome of an operation at this address, as the catalogue writes it, and the sentence."""
        options = self.store.options(endpoint, **IMPATIENT)
        try:
            await self._run(operation, options, root, how)
        except RepositoryError as failure:
            return failure.reason + ("~" if failure.retryable else ""), failure.message
        except ObjectMissing:
            return "missing", ""
        return "ok", ""

    async def fetch(self, root: Path, options: StorageOptions, how: FetchOptions = ONE_TRY) -> Path:
        """Where the version was brought to."""
        return await fetch(self.uri, "1", self.published.digest, root, options, how)

    async def _run(self, operation: Operation, options: StorageOptions, root: Path, how: FetchOptions) -> None:
        if operation is Operation.HEAD:
            await open_store(parse_uri(self.uri), options).stat(f"{self.prefix}/1/config.json")
        elif operation is Operation.LIST:
            await list_versions(self.uri, options)
        else:
            await self.fetch(root, options, how)


def looks_whole(root: Path) -> list[str]:
    """What a server that looks for models would find in a root."""
    return [path.name for path in root.iterdir() if not path.name.startswith(".")] if root.is_dir() else []
