"""How a command ends that cannot do what it was asked."""

from collections.abc import Iterator
from contextlib import contextmanager

import typer

from mmm_cli.output import remarks
from mmm_repository import RepositoryError

FAILED = 1
INTERRUPTED = 130


class Failure(Exception):
    """What could not be done: one CamelCase word that says why, and a sentence that says what to do."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(f"{reason}: {message}")
        self.reason = reason
        self.message = message


@contextmanager
def explained_failures() -> Iterator[None]:
    """Turn failures into one line on standard error and the exit code of a failure."""
    try:
        yield
    except (RepositoryError, Failure) as error:
        remarks.print(f"[bold red]{error.reason}[/]: ", end="")
        remarks.print(error.message, markup=False)
        raise typer.Exit(FAILED) from None
    except KeyboardInterrupt:
        remarks.print("Interrupted. Run it again: what is done already will not be done twice.")
        raise typer.Exit(INTERRUPTED) from None
