"""The model repository: immutable versions of models on any S3-compatible store, or in a directory.

A version is a directory `<uri>/<version>/` whose `manifest.json` lists every file with size and sha256. The manifest
is written last and created only once, so a version appears whole and never changes; the sha256 of the manifest's
bytes is the version's digest and names its exact bytes. Consumers read the manifest by its exact key, then exactly
the files that it names, hash what arrives, and give it its final name only when all of it is right.
"""

from mmm_repository.errors import (
    AccessDenied,
    DigestMismatch,
    EndpointUnreachable,
    IncompleteUpload,
    InvalidAddress,
    InvalidDirectory,
    InvalidManifest,
    ModelNotFound,
    ModelTooLarge,
    NoSpace,
    NothingToVerify,
    RepositoryError,
    TLSVerifyFailed,
    UnsafeArtifact,
    VersionExists,
    VersionNotFound,
    VolumeUnusable,
)
from mmm_repository.fetch import FetchOptions, fetch
from mmm_repository.follow import Seen, Sight, look
from mmm_repository.in_place import verify_in_place
from mmm_repository.listing import ListedFile, Listing, identity_of
from mmm_repository.manifest import MANIFEST_NAME, FileEntry, Manifest, digest_of, parse_manifest
from mmm_repository.order import is_newer, order_key, sorted_versions
from mmm_repository.progress import OnProgress, Phase, Progress
from mmm_repository.publish import PublishedVersion, publish, rehearse
from mmm_repository.resolve import ResolvedVersion, VersionEntry, list_versions, resolve, resolve_unverified
from mmm_repository.retention import Retention
from mmm_repository.smoke import SmokeTest, read_smoke
from mmm_repository.storage import AddressingStyle, StorageOptions
from mmm_repository.unverified import Plain
from mmm_repository.verify import VerifiedVersion, verify_directory, verify_version
from mmm_repository.weights import Weights, weights_of

__all__ = [
    "MANIFEST_NAME",
    "AccessDenied",
    "AddressingStyle",
    "DigestMismatch",
    "EndpointUnreachable",
    "FetchOptions",
    "FileEntry",
    "IncompleteUpload",
    "InvalidAddress",
    "InvalidDirectory",
    "InvalidManifest",
    "ListedFile",
    "Listing",
    "Manifest",
    "ModelNotFound",
    "ModelTooLarge",
    "NoSpace",
    "NothingToVerify",
    "OnProgress",
    "Phase",
    "Plain",
    "Progress",
    "PublishedVersion",
    "RepositoryError",
    "ResolvedVersion",
    "Retention",
    "Seen",
    "Sight",
    "SmokeTest",
    "StorageOptions",
    "TLSVerifyFailed",
    "UnsafeArtifact",
    "VerifiedVersion",
    "VersionEntry",
    "VersionExists",
    "VersionNotFound",
    "VolumeUnusable",
    "Weights",
    "digest_of",
    "fetch",
    "identity_of",
    "is_newer",
    "list_versions",
    "look",
    "order_key",
    "parse_manifest",
    "publish",
    "read_smoke",
    "rehearse",
    "resolve",
    "resolve_unverified",
    "sorted_versions",
    "verify_directory",
    "verify_in_place",
    "verify_version",
    "weights_of",
]
