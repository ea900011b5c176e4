"""What a repository holds now, looked at again and again: cheaply, and without believing what is half there.

A look costs one listing, and one GET for each manifest that may have changed. A manifest that was read before is asked
for under the condition that it changed. Versions whose manifest is missing are being uploaded, and count for nothing:
unless no version has a manifest. Then one listing of all keys is the whole look, and shows what each version holds.
"""

import asyncio
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from mmm_repository.errors import InvalidManifest, ModelNotFound, RepositoryError, UnsafeArtifact
from mmm_repository.manifest import MANIFEST_NAME, MAX_MANIFEST_BYTES, digest_of, parse_manifest
from mmm_repository.order import sorted_versions
from mmm_repository.resolve import version_names
from mmm_repository.storage import Address, StorageOptions, parse_uri
from mmm_repository.store import ObjectMissing, Store, open_store
from mmm_repository.unverified import Plain, judge, list_plain

# Uploads under way, given up or broken, that may lie above the newest version that is whole.
MOST_UNUSABLE = 16
# The version of what serves is written on it as a label, which not every name of a directory can be.
FOLLOWED = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?")


@dataclass(frozen=True, slots=True)
class Seen:
    """A version with a manifest. `digest` is empty where the manifest is none; `mistake` then says why.

    `tag` is what the store calls this state of the manifest. Without a manifest the digest is the listing's, and
    `settled` says whether it has stood long enough to be believed.
    """

    version: str
    digest: str
    total_bytes: int = 0
    mistake: str = ""
    tag: str | None = None
    settled: bool = True


@dataclass(frozen=True, slots=True)
class Sight:
    """What one look showed: the newest version that is there, and the pinned ones.

    `whole` is the newest whose manifest is one. `incomplete` are versions above it whose upload has not ended. Where
    nothing can be listed there is no newest, and `unlisted` is the reason and the sentence why. Where no version has a
    manifest, `plain` are the newest and the pinned ones, from newest to oldest: one look cannot tell whether they are
    whole, so they are no `newest` yet; see `mmm_operator.sources.agreement`.
    """

    newest: Seen | None = None
    whole: Seen | None = None
    pinned: Mapping[str, Seen] = field(default_factory=dict)
    incomplete: tuple[str, ...] = ()
    unlisted: tuple[str, str] | None = None
    plain: tuple[Plain, ...] = ()

    def known(self) -> dict[str, Seen]:
        """All versions that were seen, by name."""
        return {**{seen.version: seen for seen in (self.newest, self.whole) if seen}, **self.pinned}


async def look(uri: str, storage: StorageOptions, pinned: Collection[str], before: Sight | None = None) -> Sight:
    """What `uri` holds; `before` saves what need not be read again. Safe to cancel; raises RepositoryError only.

    Raises only when nothing at all could be seen: a store that forbids to list still shows the pinned versions.
    """
    address = parse_uri(uri)
    store = open_store(address, storage)
    if before and before.plain and (sight := await _look_plain(store, address, pinned, before)):
        return sight
    known = before.known() if before else {}
    listed, unlisted = await _names(store, address)
    names = [name for name in listed if FOLLOWED.fullmatch(name)]
    reads = await asyncio.gather(*(_read(store, address, name, known.get(name)) for name in sorted(pinned)))
    found = {seen.version: seen for seen in reads if seen}
    if unlisted is not None and (unlisted.retryable or not found):
        raise unlisted
    above: list[Seen] = []
    incomplete: list[str] = []
    for name in reversed(names):
        seen = found.get(name) if name in pinned else await _read(store, address, name, known.get(name))
        if seen is None:
            incomplete.append(name)
        else:
            above.append(seen)
        if (seen is not None and seen.digest) or len(above) + len(incomplete) == MOST_UNUSABLE:
            break
    if not above and not found and names and (sight := await _look_plain(store, address, pinned, before)):
        return sight
    whole = above[-1] if above and above[-1].digest else None
    why = (unlisted.reason, unlisted.message) if unlisted else None
    return Sight(above[0] if above else None, whole, found, tuple(sorted(incomplete)), why)


async def _look_plain(store: Store, address: Address, pinned: Collection[str], before: Sight | None) -> Sight | None:
    """What one listing of all keys shows; None where some version has a manifest, or nothing is there."""
    known = {plain.version: plain for plain in before.plain} if before else {}
    try:
        listings = await list_plain(store, address)
    except (InvalidManifest, UnsafeArtifact) as error:
        return Sight(unlisted=(error.reason, error.message))
    names = [name for name in sorted_versions(listings) if FOLLOWED.fullmatch(name)]
    newest = names[-MOST_UNUSABLE:]
    plain = [
        await judge(store, address, name, listings[name], known.get(name))
        for name in reversed(names)
        if name in pinned or name in newest
    ]
    return Sight(plain=tuple(plain), incomplete=tuple(sorted(newest))) if plain else None


async def _names(store: Store, address: Address) -> tuple[list[str], RepositoryError | None]:
    try:
        names = await version_names(store, address)
    except RepositoryError as error:
        return [], error
    if not names:
        return [], ModelNotFound(f"Nothing lies under {address}. Publish a version, or correct the uri.")
    return names, None


async def _read(store: Store, address: Address, version: str, before: Seen | None) -> Seen | None:
    """The version as its manifest describes it; None where there is no manifest."""
    key = f"{address.version_key(version)}/{MANIFEST_NAME}"
    try:
        answer = await store.read_if_changed(key, MAX_MANIFEST_BYTES, before.tag if before else None)
    except ObjectMissing:
        return None
    if answer is None:
        return before
    return _parsed(version, answer.content, answer.tag)


def _parsed(version: str, content: bytes | None, tag: str | None) -> Seen:
    if content is None:
        return Seen(version, "", mistake=f"manifest.json is larger than {MAX_MANIFEST_BYTES} bytes.", tag=tag)
    try:
        manifest = parse_manifest(content)
    except InvalidManifest as error:
        return Seen(version, "", mistake=error.message, tag=tag)
    return Seen(version, digest_of(content), manifest.total_bytes, tag=tag)
