"""Files of the rollout directory: what the operator says to a running pod, in JSON.

kubelet replaces the directory's content at any time, and all of it at once; whoever may change a ConfigMap may have
written anything there.
"""

import json
from pathlib import Path

MOST_BYTES = 4096


def read_content(directory: Path, name: str, broken: type[Exception]) -> bytes | None:
    """The file, cut off where it is absurdly long; None when it is not there, `broken` when it cannot be read."""
    try:
        with (directory / name).open("rb") as file:
            return file.read(MOST_BYTES + 1)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise broken(f"{name} cannot be read: {error.strerror}.") from None


def parse_document(content: bytes) -> object:
    """The JSON value of a file; None when it is none, or too long."""
    try:
        return json.loads(content) if len(content) <= MOST_BYTES else None
    except (ValueError, RecursionError):
        return None
