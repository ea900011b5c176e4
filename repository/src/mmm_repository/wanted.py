"""What is to be fetched, as the store describes it now: by a manifest, or else by the listing of a version without."""

from collections.abc import Mapping
from dataclasses import dataclass

from mmm_repository.errors import IncompleteUpload, RepositoryError
from mmm_repository.listing import ListedFile, Listing
from mmm_repository.manifest import Manifest, digest_of, parse_manifest, replaced
from mmm_repository.resolve import read_manifest_if_any, why_missing
from mmm_repository.storage import Address
from mmm_repository.store import Store
from mmm_repository.unverified import list_version

CHANGED = "If it was chosen without a manifest, its files have changed since: choose it again, or another version."


@dataclass(frozen=True)
class Wanted:
    """What is to be fetched. `listed` are the files as the store shows them, where no manifest knows their hashes."""

    manifest: Manifest
    content: bytes | None
    listed: tuple[ListedFile, ...] = ()

    def written(self, hashes: Mapping[str, str]) -> bytes:
        """The manifest that goes beside the files, once their hashes are known."""
        return self.content if self.content is not None else Listing(self.listed).manifest(hashes).canonical_bytes()


async def find_wanted(store: Store, address: Address, version: str, digest: str) -> Wanted:
    """What the digest names: by the manifest, or else by what the store shows of the version."""
    content = await read_manifest_if_any(store, address, version)
    if content is not None and digest_of(content) == digest:
        return Wanted(parse_manifest(content), content)
    listing = await listing_if(store, address, version, digest)
    if listing is not None:
        return Wanted(listing.manifest({}), None, listing.files)
    if content is not None:
        raise replaced(content, digest)
    error = await why_missing(store, address, version)
    raise IncompleteUpload(f"{error.message} {CHANGED}") if isinstance(error, IncompleteUpload) else error


async def listing_if(store: Store, address: Address, version: str, digest: str) -> Listing | None:
    """The version's listing, if it has the digest. In a directory files grow, so none of its listings is believed."""
    if store.is_local:
        return None
    try:
        listing = await list_version(store, address, version)
    except RepositoryError as error:
        if error.retryable:
            raise
        return None
    return listing if listing.digest == digest else None
