"""Which model version is meant."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Version:
    """A version's name, and the digest that names its bytes; only a directory that was given by hand has none."""

    name: str
    digest: str | None = None

    def is_same(self, other: "Version | None") -> bool:
        """Whether the bytes are the same, whatever the names."""
        return other is not None and self.digest == other.digest
