"""The arguments of `mmm-operator plan`, and what it tells about itself."""

import argparse
import re

from mmm_operator.kube.resources import RESOURCES, WATCHED

NOTHING, CHANGES, USAGE = 0, 1, 2
EPILOG = f"""\
exit codes: {NOTHING} nothing to do, {CHANGES} something would be written, {USAGE} wrong usage or wrong files.

A state is what this prints, in one file or in several in a directory; whatever is missing does not exist:
  kubectl get {",".join(RESOURCES[kind].plural for kind in WATCHED)},events -n NAMESPACE -o yaml > state.yaml
With --state alone, all MultimodalModels of the state are looked at: what would this version of the operator change?
The operator's settings are taken from MMM_OPERATOR_* in the environment, as by `run`.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command to argparse."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = EPILOG
    parser.add_argument(
        "-f", "--filename", action="append", default=[], metavar="FILE",
        help="MultimodalModels: a YAML or JSON file, a directory, or - for standard input; may be repeated",
    )  # fmt: skip
    parser.add_argument(
        "--state", action="append", default=[], metavar="PATH",
        help="what the cluster holds, as kubectl dumped it: a file, a directory or -; default: nothing",
    )  # fmt: skip
    parser.add_argument(
        "--digest", type=_digest, metavar="sha256:…",
        help="the digest of the version; default: as the state's status has it, else the plan ends before the pods",
    )  # fmt: skip
    parser.add_argument(
        "-n", "--namespace", default="default", help="namespace of the objects that name none; default: %(default)s"
    )
    parser.add_argument("-o", "--output", choices=("text", "yaml", "json"), default="text", help="default: %(default)s")


def _digest(text: str) -> str:
    if not re.fullmatch(r"sha256:[0-9a-f]{64}", text):
        raise argparse.ArgumentTypeError("write sha256: and 64 lower-case hex digits, as `mmm versions` shows them")
    return text
