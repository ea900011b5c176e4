"""A progress bar with rate and time left, on a terminal only."""

from collections.abc import Iterator
from contextlib import contextmanager

from rich.progress import (
    BarColumn,
    DownloadColumn,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.progress import (
    Progress as RichProgress,
)

from mmm_cli.output import remarks
from mmm_repository import OnProgress, Phase, Progress

WORDS = {
    Phase.WAIT: "waiting",
    Phase.CHECK: "checking",
    Phase.HASH: "hashing",
    Phase.UPLOAD: "uploading",
    Phase.DOWNLOAD: "downloading",
    Phase.VERIFY: "verifying",
}


@contextmanager
def progress_bar() -> Iterator[OnProgress]:
    """A listener that draws one bar for each phase; it draws nothing where standard error is no terminal."""
    columns = (
        TextColumn("{task.description:<10}"),
        BarColumn(),
        DownloadColumn(binary_units=True),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with RichProgress(*columns, console=remarks, transient=True, disable=not remarks.is_terminal) as bar:
        tasks: dict[Phase, TaskID] = {}

        def show(progress: Progress) -> None:
            if progress.phase not in tasks:
                tasks[progress.phase] = bar.add_task(WORDS[progress.phase], total=None)
            # What was there already counts neither as done nor as to do: it would make the rate and the rest untrue.
            done = progress.done_bytes - progress.reused_bytes
            total = progress.total_bytes - progress.reused_bytes
            bar.update(tasks[progress.phase], completed=done, total=total or None)

        yield show
