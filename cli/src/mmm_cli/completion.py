"""Completion of `kubectl mmm …`: kubectl runs `kubectl_complete-mmm` with the words so far, and reads proposals.

For `mmm …` itself the shells ask typer, once `mmm --install-completion` has told them to.
"""

import os
import shlex
import sys

from mmm_cli.app import app

# cobra's ShellCompDirectiveDefault: where nothing is proposed, files are.
DEFAULT = ":0"


def main() -> None:
    """Print the proposals for the last of the words, one a line, then kubectl's directive."""
    words = ["mmm", *(sys.argv[1:] or [""])]
    question = {
        "_MMM_COMPLETE": "complete_bash",
        "COMP_WORDS": shlex.join(words),
        "COMP_CWORD": str(len(words) - 1),
    }
    os.environ.update(question)
    try:
        app(prog_name="mmm")
    except SystemExit:
        print(DEFAULT)  # noqa: T201  what kubectl waits for
