"""The programs that the project needs beside Python: pinned, built once, found again by name.

`tool("helm")` is a path; `python -m dev.tools build` makes them all.
"""

from dev.tools.build import BuildError, build_all, tool
from dev.tools.packages import MissingPackages, require_system_packages

__all__ = ["BuildError", "MissingPackages", "build_all", "require_system_packages", "tool"]
