"""`mmm`, also `kubectl mmm`."""

from mmm_cli.app import app


def main() -> None:
    """Run the command line; the process ends with the command's exit code."""
    app()


if __name__ == "__main__":
    main()
