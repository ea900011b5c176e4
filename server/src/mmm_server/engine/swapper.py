"""Follows wanted.json: loads what it names beside what serves, and goes over once the newcomer has proved itself.

The newcomer has a thread, a queue and limits of its own. Whatever becomes of it, the version that serves is not touched
before the one assignment that is the switch.
"""

import asyncio
import logging
import time
from dataclasses import replace
from typing import Protocol

from mmm_server.backends.memory import free_device_bytes, release_memory
from mmm_server.engine.lifecycle import State
from mmm_server.engine.remembered import Remembered, remember
from mmm_server.engine.room import Free, check_room, free_host_bytes, parameters_in
from mmm_server.engine.served import Examine, Served
from mmm_server.engine.swap import Move, Sight, Swap, SwapState, next_move, rested
from mmm_server.engine.version import Version
from mmm_server.engine.worker import InferenceThread
from mmm_server.errors import Fatal, InternalError, ModelLoadFailed, NoRoomForSwap, OutOfMemory, WarmUpFailed
from mmm_server.follow_state import Failure, read_failure
from mmm_server.logs import fields
from mmm_server.metrics import Metrics
from mmm_server.settings import Settings
from mmm_server.wanted import BrokenWanted, read_wanted

log = logging.getLogger(__name__)

LOOK_SECONDS = 1.0
STEP_SECONDS = 0.05
ABSENT_LOOKS = 3  # a file that is away for a moment takes nobody back to the beginning


class Host(Protocol):
    """The engine, as far as a swap needs it."""

    @property
    def served(self) -> Served:
        """The version that new requests get."""
        ...

    @property
    def metrics(self) -> Metrics:
        """Where swaps are counted."""
        ...

    def begin(self, version: Version) -> Served:
        """Another version, which begins to load."""
        ...

    @property
    def examine(self) -> Examine:
        """What a warm version must pass."""
        ...

    def switch(self, served: Served) -> None:
        """From now on new requests get this version."""
        ...

    def rename(self, version: Version) -> None:
        """The bytes that serve have another name by now."""
        ...


class Swapper:
    """One per process; its methods belong to the event loop."""

    def __init__(self, host: Host, settings: Settings, failed: Swap | None) -> None:
        self._host = host
        self._settings = settings
        self._own = Version(settings.model_version, settings.model_digest)
        self._swap = failed
        self._wanted = failed.target if failed else host.served.version
        self._absent = 0
        self._complaint = ""
        self._task: asyncio.Task[None] | None = None
        self._attempt: asyncio.Task[None] | None = None
        self._newcomer: Served | None = None
        self._kept: Served | None = None
        self._kept_until = 0.0
        self._leaving: list[Served] = []  # nobody goes back to them, but requests that they took are not over
        self._stragglers: dict[InferenceThread, float] = {}  # that are to end, and how long that is waited for

    @property
    def swap(self) -> Swap | None:
        """The swap that is under way or was the last one; None where there is nothing to tell."""
        swap, newcomer = self._swap, self._newcomer
        if swap is not None and newcomer is not None and newcomer.lifecycle.state is State.WARMING:
            return replace(swap, state=SwapState.WARMING)
        return swap

    def start(self) -> None:
        """Begins to follow, from a version that serves."""
        self._remember()
        self._task = asyncio.create_task(self._follow())

    def stop(self) -> None:
        """Ends the swap that is under way, and follows no more."""
        if self._task is None:
            return
        self._task.cancel()
        if self._attempt is not None:
            self._abandon()
            self._swap = None
            self._remember()

    async def _follow(self) -> None:
        while True:
            try:
                await self._look()
            except Exception:
                log.error("what is wanted could not be followed", exc_info=True)
            await asyncio.sleep(LOOK_SECONDS)

    async def _look(self) -> None:
        self._wanted = await asyncio.to_thread(self._wish)
        there, failure = await asyncio.to_thread(self._files_of, self._wanted)
        kept = self._kept if self._kept is not None and self._kept.failure is None else None
        sight = Sight(
            wanted=self._wanted,
            served=self._host.served.version,
            kept=kept.version if kept else None,
            swap=self._swap,
            under_way=self._attempt is not None,
            there=there,
            fetch_failure=failure,
        )
        self._move(next_move(sight), sight)
        self._forget_kept()
        await self._sweep()

    def _wish(self) -> Version:
        """What is wanted now: as before where that makes no sense, or is away for a moment only."""
        try:
            found = wish_of(self._settings)
        except BrokenWanted as broken:
            if str(broken) != self._complaint:
                log.error(str(broken))
            self._complaint = str(broken)
            return self._wanted
        self._complaint = ""
        self._absent = 0 if found else self._absent + 1
        return found or (self._own if self._absent >= ABSENT_LOOKS else self._wanted)

    def _files_of(self, version: Version) -> tuple[bool, Failure | None]:
        """Whether the files of a version are there, and what the fetcher failed at."""
        settings = self._settings
        return settings.path_of(version.digest).is_dir(), read_failure(settings.model_root)

    def _move(self, move: Move, sight: Sight) -> None:
        wanted, failure = sight.wanted, sight.fetch_failure
        match move:
            case Move.REST:
                self._swap = rested(sight)
                if wanted != sight.served:
                    self._host.rename(wanted)
            case Move.ABANDON:
                self._abandon()
                self._swap = None if wanted.is_same(sight.served) else Swap(wanted, SwapState.WAITING)
                self._remember()
            case Move.RETURN if self._kept is not None:
                self._go_over(self._kept)
            case Move.WAIT:
                self._swap = Swap(wanted, SwapState.WAITING)
            case Move.REPORT if failure is not None:
                self._swap = Swap(wanted, SwapState.FAILED, failure.reason, failure.message, final=False)
            case Move.BEGIN:
                self._swap = Swap(wanted, SwapState.LOADING)
                self._attempt = asyncio.create_task(self._try(wanted))

    # One attempt.

    async def _try(self, target: Version) -> None:
        """Ends with the switch, or with a failure that changes nothing."""
        log.info("another version is wanted", extra=fields(version=target.name, digest=target.digest))
        try:
            await self._make_way()
            self._leave(Remembered(self._host.served.version, target))
            await asyncio.to_thread(self._check_room, target)
            newcomer = self._newcomer = self._host.begin(target)
            await self._until_warm(newcomer)
            await self._examine(newcomer)
            self._newcomer = None
            self._go_over(newcomer)
        except OutOfMemory:
            self._failed(
                target, NoRoomForSwap("The memory ran out while a second version was loaded beside the first.")
            )
        except Fatal as fatal:
            self._failed(target, fatal)
        except Exception:
            log.error("a swap failed", exc_info=True)
            self._failed(target, InternalError("The server failed while it swapped versions; its log says why."))
        finally:
            if self._attempt is asyncio.current_task():
                self._attempt = None

    async def _make_way(self) -> None:
        """Returns once no third version takes memory; a request or a thread that hangs is not waited for."""
        patience = time.monotonic() + self._settings.stuck_seconds
        self._kept_until = 0.0
        while self._crowded() and time.monotonic() < patience:
            self._forget_kept()
            await self._sweep()
            await asyncio.sleep(STEP_SECONDS)

    def _crowded(self) -> bool:
        """Whether a version takes memory that will be free soon."""
        now = time.monotonic()
        return bool(self._kept or self._leaving) or any(now < until for until in self._stragglers.values())

    def _check_room(self, target: Version) -> None:
        device = self._host.served.loaded().device
        free = Free(free_host_bytes(self._settings.memory_limit_bytes), free_device_bytes(device.kind))
        check_room(parameters_in(self._settings.path_of(target.digest)), device.dtype, free)

    async def _until_warm(self, newcomer: Served) -> None:
        """Returns once the newcomer answered all its examples; Fatal if that, or to load it, takes too long."""
        began = time.monotonic()
        warmed = asyncio.ensure_future(newcomer.warmed())
        try:
            while not (await asyncio.wait({warmed}, timeout=LOOK_SECONDS))[0]:
                self._check_pace(newcomer, time.monotonic() - began)
            await warmed
        finally:
            warmed.cancel()

    def _check_pace(self, newcomer: Served, seconds: float) -> None:
        """Fatal if the newcomer is not warm and hangs, or takes too long to load."""
        stuck, longest = self._settings.stuck_seconds, self._settings.swap_load_seconds
        if newcomer.lifecycle.state is State.WARMING:
            if newcomer.worker.heartbeat_age() > stuck:
                raise WarmUpFailed(f"The model did not answer an example in {stuck:g} s.")
        elif seconds > longest:
            raise ModelLoadFailed(f"The model was not loaded in {longest:g} s (MMM_SWAP_LOAD_SECONDS).")

    async def _examine(self, newcomer: Served) -> None:
        """Fatal unless the newcomer knows what it must, and is alive after that."""
        try:
            await self._host.examine(newcomer)
        except Fatal as fatal:
            raise newcomer.failure or fatal from None
        if newcomer.failure is not None:
            raise newcomer.failure

    def _failed(self, target: Version, fatal: Fatal) -> None:
        """The old version goes on, and this one is not tried again before something else was wanted."""
        self._swap = Swap(target, SwapState.FAILED, fatal.reason, fatal.message)
        self._host.metrics.swaps.labels("failed").inc()
        log.error("a swap failed", extra=fields(version=target.name, reason=fatal.reason, why=fatal.message))
        self._remember()
        self._let_go()

    def _abandon(self) -> None:
        """Gives the attempt up; its thread ends as soon as it can."""
        if self._attempt is not None:
            self._attempt.cancel()
            self._attempt = None
        self._let_go()

    def _let_go(self) -> None:
        newcomer, self._newcomer = self._newcomer, None
        if newcomer is not None:
            self._close(newcomer)

    # The switch, and what comes after it.

    def _go_over(self, newcomer: Served) -> None:
        """The switch: what was asked before is answered by the version that it was asked of."""
        old = self._host.served
        self._host.switch(newcomer)
        if self._kept is not None and self._kept is not newcomer:
            self._leaving.append(self._kept)
        self._kept, self._kept_until = old, time.monotonic() + self._settings.swap_keep_seconds
        self._swap = Swap(newcomer.version, SwapState.DONE)
        self._host.metrics.swaps.labels("done").inc()
        self._remember()

    def _forget_kept(self) -> None:
        """Lets go of the versions before, once nobody goes back to them and no request needs them."""
        gone = [old for old in self._leaving if not old.tickets]
        kept = self._kept
        if kept is not None and not kept.tickets and time.monotonic() >= self._kept_until:
            self._kept = None
            gone.append(kept)
        for old in gone:
            self._close(old)
            log.info("let go", extra=fields(version=old.version.name))
        self._leaving = [old for old in self._leaving if old not in gone]

    def _close(self, served: Served) -> None:
        served.close()
        self._stragglers[served.worker] = time.monotonic() + self._settings.stuck_seconds

    async def _sweep(self) -> None:
        """Gives back the memory of versions whose threads are over."""
        working = {thread: until for thread, until in self._stragglers.items() if thread.is_alive()}
        if len(working) < len(self._stragglers):
            self._stragglers = working
            await asyncio.to_thread(release_memory)
            self._host.served.worker.restore()  # the device may have been too small for batches of two versions

    def _remember(self) -> None:
        """Leaves to the next process what serves, and the swap that failed, if one did for good."""
        swap, served = self._swap, self._host.served.version
        if swap is None or swap.state is not SwapState.FAILED or not swap.final:
            self._leave(Remembered(served))
        else:
            self._leave(Remembered(served, swap.target, swap.reason, swap.message))

    def _leave(self, what: Remembered) -> None:
        remember(self._settings.state_dir, what)


def wish_of(settings: Settings) -> Version | None:
    """The version that the rollout directory names; None where it names none, BrokenWanted where it makes no sense."""
    found = read_wanted(settings.rollout_dir) if settings.rollout_dir else None
    return Version(found.version, found.digest) if found else None
