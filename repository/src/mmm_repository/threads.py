"""Blocking file work beside the event loop, and groups of tasks that fail as one."""

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


async def in_thread(call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """What the call returns, made in a thread. When cancelled, waits until the call has ended.

    A thread cannot be interrupted; to return earlier would let the caller close a file that is being written.
    """
    thread = asyncio.ensure_future(asyncio.to_thread(call, *args, **kwargs))
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
