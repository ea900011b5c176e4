"""Blocking file work beside the event loop, and groups of tasks that fail as one."""

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

# File work mostly waits, for a disk or a server of files; the loop's own pool has too few threads on small machines.
FILE_THREADS = ThreadPoolExecutor(max_workers=16, thread_name_prefix="files")


async def in_thread(call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """What the call returns, made in a thread. When cancelled, waits until the call has ended.

    A thread cannot be interrupted; to return earlier would let the caller close a file that is being written.
    """
    thread = asyncio.get_running_loop().run_in_executor(FILE_THREADS, partial(call, *args, **kwargs))
    try:
        return await asyncio.shield(thread)
    except asyncio.CancelledError:
        await settled(thread)
        raise


async def settled(task: asyncio.Future[T]) -> None:
    """Wait until the task has ended, however often the waiting itself is cancelled; its outcome is dropped."""
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError:
            continue
    if not task.cancelled():
        task.exception()


async def run_all(jobs: Iterable[Coroutine[object, object, None]]) -> None:
    """Run the jobs side by side; the first failure ends the others and is raised itself, not in a group."""
    try:
        async with asyncio.TaskGroup() as group:
            for job in jobs:
                group.create_task(job)
    except BaseExceptionGroup as failures:
        raise failures.exceptions[0] from None


async def run_some(jobs: Iterable[Coroutine[object, object, None]], at_once: int) -> None:
    """Run the jobs, so many at a time and in turn; the first failure ends the others and is raised itself."""
    rest = iter(jobs)

    async def work() -> None:
        for job in rest:
            await job

    await run_all(work() for _ in range(at_once))
