"""The files that are made from code: CRD, chart parts, install manifest, API documentation.

`python -m dev.generate` writes them, `--check` only compares. A test does the same comparison, so what stands in the
repository is always what the code says.
"""

from dev.generate.files import REPOSITORY, generated, stale, write

__all__ = ["REPOSITORY", "generated", "stale", "write"]
