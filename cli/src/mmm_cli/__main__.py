"""`mmm`, also `kubectl mmm`."""

import sys
from pathlib import Path

from mmm_cli.app import app


def main() -> None:
    """Run the command line; the process ends with the command's exit code."""
    app(prog_name="kubectl mmm" if Path(sys.argv[0]).name == "kubectl-mmm" else "mmm")


if __name__ == "__main__":
    main()
