"""Where a model lies, by its uri: in a bucket, on a claim, or in an image."""

from dataclasses import dataclass

_CLAIM, _IMAGE = "pvc://", "oci://"


@dataclass(frozen=True, slots=True)
class ClaimSource:
    """A directory of versions on a claim of the user's, in the object's own namespace."""

    claim: str
    path: str

    def directory(self, version: str) -> str:
        """Where a version lies on the claim."""
        return f"{self.path}/{version}".lstrip("/")


@dataclass(frozen=True, slots=True)
class ImageSource:
    """An image whose tags are versions, and whose files are those of the version."""

    repository: str

    def reference(self, version: str) -> str:
        """The image of a version."""
        return f"{self.repository}:{version}"


def mounted_source(uri: str) -> ClaimSource | ImageSource | None:
    """What pods mount to have the model; None for a bucket, from which it is fetched."""
    if uri.startswith(_IMAGE):
        return ImageSource(uri.removeprefix(_IMAGE))
    if uri.startswith(_CLAIM):
        claim, _, path = uri.removeprefix(_CLAIM).partition("/")
        return ClaimSource(claim, path)
    return None
