"""A version without a manifest: which files a listing shows, what its digest is, and whether it looks whole. Pure.

An object of S3 appears whole, and its ETag changes with its bytes: so path, size and ETag of every file name exactly
what is there, although nobody says what should be. The digest is the sha256 of canonical JSON of
`{"format": "listing/1", "files": [[path, size, etag], …]}`, sorted by path and without manifest.json. No manifest has
that format, so no digest of a listing is one of a manifest.

What is fetched gets a manifest of its own, with the hashes of what arrived. Its metadata keeps the ETags, so the
listing's digest can be computed from it again.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final

from mmm_repository.artifacts import check_name
from mmm_repository.configs import INDEX_SUFFIX, MAX_CONFIG_BYTES
from mmm_repository.errors import IncompleteUpload, InvalidManifest, UnsafeArtifact
from mmm_repository.manifest import (
    MANIFEST_NAME,
    FileEntry,
    Manifest,
    build_manifest,
    canonical_json,
    digest_of,
    parse_json,
    parse_manifest,
    replaced,
)
from mmm_repository.paths import shown

FORMAT: Final = "listing/1"
KEPT = "listing"
MAX_INDEXES = 16
UNKNOWN_HASH = "0" * 64


@dataclass(frozen=True, slots=True)
class ListedFile:
    """One file as a listing shows it; `tag` is its ETag without quotes.

    `sha256` is what an earlier fetch got under this ETag, if there was one: else nobody knows what is in the file.
    """

    path: str
    size: int
    tag: str
    sha256: str | None = field(default=None, compare=False)


@dataclass(frozen=True)
class Listing:
    """The files of a version, sorted by path."""

    files: tuple[ListedFile, ...]

    @cached_property
    def digest(self) -> str:
        """`sha256:<hex>` that names exactly these paths, sizes and ETags."""
        rows = [[file.path, file.size, file.tag] for file in self.files]
        return digest_of(canonical_json({"format": FORMAT, "files": rows}))

    @property
    def total_bytes(self) -> int:
        """The sum of all file sizes."""
        return sum(file.size for file in self.files)

    @property
    def indexes(self) -> list[str]:
        """The files that name shards of weights."""
        return [file.path for file in self.files if file.path.lower().endswith(INDEX_SUFFIX)]

    def manifest(self, hashes: Mapping[str, str]) -> Manifest:
        """The manifest of what arrived, by its hashes; raises InvalidManifest where no manifest could hold it.

        A hash that is missing is written as zeros: enough to see whether everything fits.
        """
        entries = [FileEntry(path=f.path, size=f.size, sha256=hashes.get(f.path, UNKNOWN_HASH)) for f in self.files]
        return build_manifest(entries, {KEPT: {"format": FORMAT, "etags": [file.tag for file in self.files]}})


def listing_of(files: Iterable[ListedFile]) -> Listing:
    """The listing of these files, without the manifest and without what some tools put in place of directories."""
    found = {file.path: file for file in files if file.path != MANIFEST_NAME}
    parents = {path[:at] for path in found for at, character in enumerate(path) if character == "/"}
    kept = (file for path, file in found.items() if file.size or path not in parents)
    return Listing(tuple(sorted(kept, key=lambda file: file.path)))


def check_listing(listing: Listing) -> None:
    """Raise unless the files are what a manifest may name, and what a model cannot do without is among them."""
    if not listing.files:
        raise IncompleteUpload("There are no files yet.")
    listing.manifest({})
    for file in listing.files:
        check_name(file.path)
    names = {file.path for file in listing.files}
    if "config.json" not in names:
        raise IncompleteUpload("There is no manifest, and config.json is missing.")
    if not any(name.lower().endswith(".safetensors") for name in names):
        raise IncompleteUpload("There is no manifest, and no file of weights (.safetensors).")
    if len(listing.indexes) > MAX_INDEXES:
        raise InvalidManifest(f"There are more than {MAX_INDEXES} indexes of weights.")


def check_shards(listing: Listing, path: str, content: bytes | None) -> None:
    """Raise IncompleteUpload unless every shard that this index names is there; UnsafeArtifact where it is none."""
    if content is None:
        raise UnsafeArtifact(f"The file {shown(path)} is larger than {MAX_CONFIG_BYTES} bytes.")
    folder = path.rpartition("/")[0]
    names = {file.path for file in listing.files}
    missing = sorted({f"{folder}/{shard}".lstrip("/") for shard in shards_in(path, content)} - names)
    if missing:
        raise IncompleteUpload(f"There is no manifest, and {shown(path)} names {shown(missing[0])}, which is missing.")


def shards_in(path: str, content: bytes) -> set[str]:
    """The files that an index names; raises UnsafeArtifact where it is none."""
    try:
        document = parse_json(content)
    except (ValueError, RecursionError):
        raise UnsafeArtifact(f"The file {shown(path)} is not JSON.") from None
    shards = document.get("weight_map") if isinstance(document, dict) else None
    if not isinstance(shards, dict):
        raise UnsafeArtifact(f"The file {shown(path)} has no weight_map.")
    return {str(shard) for shard in shards.values()}


def kept_listing(manifest: Manifest) -> Listing | None:
    """The listing that was fetched, out of the manifest that the fetch wrote; None for one that a publisher wrote."""
    kept = manifest.metadata.get(KEPT)
    tags = kept.get("etags") if isinstance(kept, dict) and kept.get("format") == FORMAT else None
    if not isinstance(tags, list) or len(tags) != len(manifest.files):
        return None
    # A manifest's files are sorted by path, as a listing's are.
    return Listing(
        tuple(ListedFile(entry.path, entry.size, str(tag)) for entry, tag in zip(manifest.files, tags, strict=True))
    )


def identity_of(content: bytes) -> str:
    """The digest by which a directory with this manifest is known: the listing's for a version without one."""
    listing = kept_listing(parse_manifest(content))
    return listing.digest if listing is not None else digest_of(content)


def check_identity(content: bytes, expected: str) -> Manifest:
    """The manifest in a directory's bytes, if it is the wanted one or was written for the wanted listing.

    Raises DigestMismatch for another, InvalidManifest where the wanted bytes are none.
    """
    if digest_of(content) == expected:
        return parse_manifest(content)
    try:
        manifest = parse_manifest(content)
    except InvalidManifest:
        manifest = None
    listing = kept_listing(manifest) if manifest is not None else None
    if manifest is None or listing is None or listing.digest != expected:
        raise replaced(content, expected)
    return manifest
