"""The arguments of `mmm-operator simulate`, and what it tells about itself."""

import argparse
from collections.abc import Callable
from typing import TypeVar

from mmm_operator.offline.simulation.script import explain_words, parse_duration, parse_occurrence

Value = TypeVar("Value")

READY, NOT_READY, USAGE = 0, 1, 2
EPILOG = f"""\
An event is '[TIME] WORD[=VALUE]'. They happen in the order in which they are written:
  version=2         once the world is at rest
  '30s version=2'   30 seconds after the object was created
  '+10s version=1'  10 seconds after the event before it
{explain_words()}

The table has ready/wanted pods of each revision (VERSION@REVISION) and the columns of `kubectl get mmm`.

exit codes: {READY} at rest and Ready, {NOT_READY} not Ready, or not at rest within --limit, {USAGE} wrong usage or \
wrong files.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command to argparse."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = EPILOG
    parser.add_argument(
        "-f", "--filename", required=True, metavar="FILE",
        help="a file with one MultimodalModel, or - for standard input",
    )  # fmt: skip
    parser.add_argument(
        "--event", action="append", default=[], type=_argument(parse_occurrence), metavar="EVENT",
        help="what happens, and when; may be repeated",
    )  # fmt: skip
    parser.add_argument(
        "--capacity", type=_argument(_number), metavar="N",
        help="room for so many pods, or accelerators where the pods need some; default: any number",
    )  # fmt: skip
    for name, default, what in (
        ("load", 20, "how long a pod takes from its node until it is ready"),
        ("stop", 5, "how long a pod that ends keeps its place"),
        ("fetch", 10, "how long a Job takes to bring a model to a cache claim"),
        ("limit", 6 * 3600, "when to give up"),
    ):
        parser.add_argument(
            f"--{name}", type=_argument(parse_duration), default=default, metavar="TIME",
            help=f"{what}; default: %(default)s seconds",
        )  # fmt: skip
    parser.add_argument(
        "--requests", type=_argument(_number), default=20, metavar="N",
        help="requests a second, of all pods together; default: %(default)s",
    )  # fmt: skip
    parser.add_argument(
        "-n", "--namespace", default="default", help="namespace of an object that names none; default: %(default)s"
    )
    parser.add_argument("-o", "--output", choices=("text", "json"), default="text", help="default: %(default)s")


def _number(text: str) -> int:
    if not text.isdecimal():
        raise ValueError(f"{text}: write a number")
    return int(text)


def _argument(parse: Callable[[str], Value]) -> Callable[[str], Value]:
    """The parser with its sentence as argparse shows it."""

    def checked(text: str) -> Value:
        try:
            return parse(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return checked
