"""The hashes of files that have arrived without a manifest, beside them in the partial directory.

Nothing else could tell the next fetch what a killed one left. A line is added once a file is on disk; lines that a
power failure cut or lost only cost the file another download, and what they name is hashed again before it is used.
"""

import json
import os
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from mmm_repository.listing import ListedFile

JOURNAL_NAME = ".hashes.jsonl"


class Journal:
    """The journal of one partial directory. Its methods block."""

    def __init__(self, directory: Path) -> None:
        self._location = directory / JOURNAL_NAME

    def add(self, path: str, tag: str, sha256: str) -> None:
        """Note that a file is on disk."""
        # One write, so that lines of other threads do not come in between.
        descriptor = os.open(self._location, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            os.write(descriptor, json.dumps([path, tag, sha256]).encode() + b"\n")
        finally:
            os.close(descriptor)

    def known(self, files: Iterable[ListedFile]) -> tuple[ListedFile, ...]:
        """The files, with their hashes where an earlier fetch got them under the same ETag."""
        hashes = self._read()
        return tuple(replace(file, sha256=hashes.get((file.path, file.tag))) for file in files)

    def _read(self) -> dict[tuple[str, str], str]:
        try:
            lines = self._location.read_bytes().splitlines()
        except FileNotFoundError:
            return {}
        found = {}
        for line in lines:
            try:
                path, tag, sha256 = map(str, json.loads(line))
            except (ValueError, TypeError):
                continue
            found[path, tag] = sha256
        return found
