"""Versions without a manifest, as a store shows them: their listings, and whether they look whole.

Only where no version of a repository has a manifest: one that uses manifests never serves without. And only in object
stores, where a file appears whole; in a directory it grows.
"""

from dataclasses import dataclass

from mmm_repository.configs import MAX_CONFIG_BYTES
from mmm_repository.errors import IncompleteUpload, InvalidManifest, RepositoryError, UnsafeArtifact
from mmm_repository.listing import ListedFile, Listing, check_listing, check_shards, listing_of
from mmm_repository.manifest import MANIFEST_NAME, MAX_FILES
from mmm_repository.storage import VERSION, Address
from mmm_repository.store import ObjectMissing, ObjectStat, Store
from mmm_repository.threads import in_thread


@dataclass(frozen=True, slots=True)
class Plain:
    """A version without a manifest. `trouble` is the reason and the sentence why it cannot be served, if so."""

    version: str
    digest: str
    total_bytes: int
    files: int
    trouble: tuple[str, str] | None = None


async def list_version(store: Store, address: Address, version: str) -> Listing:
    """The files of one version; raises InvalidManifest for more than a manifest may name."""
    return listed(await limited(store, address.version_key(version), str(address)))


async def list_plain(store: Store, address: Address) -> dict[str, Listing]:
    """The files of every version; empty where some version has a manifest, and where no object store is asked."""
    if store.is_local:
        return {}
    versions: dict[str, dict[str, ObjectStat]] = {}
    for path, stat in (await limited(store, address.prefix, str(address))).items():
        version, separator, rest = path.partition("/")
        if rest == MANIFEST_NAME:
            return {}
        if separator and VERSION.fullmatch(version):
            versions.setdefault(version, {})[rest] = stat
    return {version: listed(files) for version, files in versions.items()}


async def limited(store: Store, prefix: str, where: str) -> dict[str, ObjectStat]:
    """Every object below the prefix; raises InvalidManifest when those are too many to be looked at."""
    found = await store.stat_all(prefix, most=MAX_FILES + 1)
    if len(found) > MAX_FILES:
        raise InvalidManifest(
            f"{where} has more than {MAX_FILES} objects: too many to tell what is whole without manifests. "
            "Publish versions with `mmm publish`."
        )
    return found


def listed(found: dict[str, ObjectStat]) -> Listing:
    """The listing of what a store showed; a file without an ETag has an empty one, which nothing will match."""
    return listing_of(ListedFile(path, stat.size, stat.tag or "") for path, stat in found.items())


async def judge(store: Store, address: Address, version: str, listing: Listing, before: Plain | None = None) -> Plain:
    """The version, and what is wrong with it; `before` saves the requests where nothing has changed since.

    A trouble is looked at again: it may have been the store's.
    """
    if before is not None and before.digest == listing.digest and before.trouble is None:
        return before
    try:
        await check_whole(store, address.version_key(version), listing)
        trouble = None
    except (IncompleteUpload, InvalidManifest, UnsafeArtifact) as error:
        trouble = error.reason, f"Version {version}: {error.message}"
    return Plain(version, listing.digest, listing.total_bytes, len(listing.files), trouble)


async def check_whole(store: Store, key: str, listing: Listing) -> None:
    """Raise IncompleteUpload, InvalidManifest or UnsafeArtifact unless the version looks whole."""
    # In a thread, since ten thousand names take a while to check.
    await in_thread(check_listing, listing)
    if any(not file.tag or file.tag.startswith("W/") for file in listing.files):
        raise InvalidManifest("The store gives no strong ETags, so nothing names what is there. Publish the version.")
    try:
        if (await store.stat(f"{key}/config.json")).sha256 is not None:
            raise IncompleteUpload(
                "`mmm publish` has sent its files, but no manifest.json yet. "
                "Wait for the upload to end, or run it again."
            )
        for path in listing.indexes:
            content = await store.read(f"{key}/{path}", MAX_CONFIG_BYTES)
            await in_thread(check_shards, listing, path, content)
    except ObjectMissing:
        raise IncompleteUpload("Files are being removed.") from None


async def plain_version(store: Store, address: Address, version: str) -> Plain | None:
    """The version without a manifest; None where it is not there, or has no right to be served without."""
    listing = (await list_plain(store, address)).get(version)
    return await judge(store, address, version, listing) if listing is not None else None


def failure(plain: Plain) -> RepositoryError | None:
    """The error that says what is wrong with the version, if anything is."""
    kinds: dict[str, type[RepositoryError]] = {
        kind.reason: kind for kind in (IncompleteUpload, InvalidManifest, UnsafeArtifact)
    }
    return kinds[plain.trouble[0]](plain.trouble[1]) if plain.trouble else None
