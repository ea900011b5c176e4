"""Commands on the pinned programs: build [NAME…], path NAME, packages."""

import argparse
import sys

from dev.tools import BuildError, MissingPackages, build_all, require_system_packages, tool


def main(arguments: list[str] | None = None) -> int:
    """0, 1 when a build fails or a name is unknown, 3 when system packages are missing."""
    parser = argparse.ArgumentParser(prog="python -m dev.tools", description="The project's pinned programs.")
    commands = parser.add_subparsers(dest="command", required=True)
    build = commands.add_parser("build", help="build what is missing and print the paths")
    build.add_argument("names", nargs="*", metavar="NAME")
    path = commands.add_parser("path", help="print the path of one program, built if needed")
    path.add_argument("name", metavar="NAME")
    commands.add_parser("packages", help="install the operating system's packages that are missing")
    chosen = parser.parse_args(arguments)
    try:
        if chosen.command == "packages":
            require_system_packages()
        elif chosen.command == "path":
            print(tool(chosen.name))
        else:
            print(*build_all(chosen.names), sep="\n")
    except MissingPackages as error:
        print(error, file=sys.stderr)
        return 3
    except (BuildError, KeyError) as error:
        print(error.args[0], file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
