"""`python -m dev.images build [operator|server|all]`, `base`, `clean`."""

import argparse
import sys

from .build import build_images, clean
from .command import BuildError
from .engine import choose_engine
from .recipe import recipes


def main() -> int:
    """0, or 1 after a sentence about what is missing."""
    parser = argparse.ArgumentParser(prog="python -m dev.images", description="Build the project's container images.")
    commands = parser.add_subparsers(dest="command", required=True)
    build = commands.add_parser("build", help="build what changed; print each image's name and directory")
    build.add_argument("image", nargs="?", default="all", choices=[*recipes(), "all"])
    commands.add_parser("base", help="get or make the base image")
    commands.add_parser("clean", help="remove the images and their layouts")
    chosen = parser.parse_args()
    try:
        _obey(chosen)
    except BuildError as error:
        print(f"images: {error}", file=sys.stderr)
        return 1
    return 0


def _obey(chosen: argparse.Namespace) -> None:
    if chosen.command == "build":
        names = list(recipes()) if chosen.image == "all" else [chosen.image]
        for image in build_images(names).values():
            print(image.reference, image.layout)
    elif chosen.command == "base":
        print(choose_engine().base())
    else:
        clean()


if __name__ == "__main__":
    sys.exit(main())
