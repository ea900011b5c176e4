"""Which version of the project this is."""

from importlib import metadata

DISTRIBUTION = "multimodal-operator"


def version() -> str:
    """The installed version; 0.0.0 where only the sources lie."""
    try:
        return metadata.version(DISTRIBUTION)
    except metadata.PackageNotFoundError:
        return "0.0.0"
