"""Every fault in every operation on two servers: the right reason, nothing that looks whole, and no harm that lasts."""

import asyncio
from dataclasses import dataclass
from pathlib import Path

from tests.chaos.size import FULL, chosen
from tests.repository import faults
from tests.repository.chaos.catalogue import FAULTS, OPERATIONS, Fault
from tests.repository.chaos.ground import SOME_TRIES, Ground, looks_whole
from tests.repository.chaos.proxy import FaultProxy, Operation, Spoiling
from tests.repository.chaos.report import record
from tests.repository.chaos.spoilers import CANARY
from tests.repository.samples import contents_of

AT_ONCE = 12
# In a slice each fault meets another operation, and each operation all kinds of faults.
STEP = 1 if FULL else 4


@dataclass(frozen=True)
class Cell:
    """One fault in one operation."""

    fault: Fault
    operation: Operation

    def __str__(self) -> str:
        return f"{self.operation}: {self.fault.name}"


CELLS = [
    Cell(fault, operation)
    for number, fault in enumerate(FAULTS)
    for turn, operation in enumerate(OPERATIONS)
    if (number + turn) % STEP == 0 and chosen(f"{operation}: {fault.name}")
]


def test_the_matrix_is_as_large_as_was_promised() -> None:
    assert len({fault.name for fault in FAULTS}) == len(FAULTS) >= 25


async def test_a_fault_that_lasts_has_its_reason(ground: Ground, tmp_path: Path, canary: faults.StallingProxy) -> None:
    places = asyncio.Semaphore(AT_ONCE)

    async def wrong(number: int, cell: Cell) -> str:
        async with places:
            return await lasting(ground, cell, tmp_path / f"root-{number}", canary)

    found = await asyncio.gather(*(wrong(number, cell) for number, cell in enumerate(CELLS)))
    assert noted(f"faults, {ground.store.name}", found) == []
    assert canary.passed == 0, "somebody followed a redirect"


async def test_a_fault_that_passes_is_healed_within_the_same_fetch(ground: Ground, tmp_path: Path) -> None:
    cells = [cell for cell in CELLS if cell.operation is Operation.PART and heals(cell.fault)]
    places = asyncio.Semaphore(AT_ONCE)

    async def wrong(number: int, cell: Cell) -> str:
        async with places:
            return await passing(ground, cell, tmp_path / f"root-{number}")

    found = await asyncio.gather(*(wrong(number, cell) for number, cell in enumerate(cells)))
    assert noted(f"passing faults, {ground.store.name}", found, cells) == []


def heals(fault: Fault) -> bool:
    """Whether the fault is one of the way, not of the store: then asking again heals it."""
    outcomes = fault.outcomes(Operation.PART)
    return all(outcome.endswith("~") or outcome == "ok" for outcome in outcomes) or fault.name in ("one bit", "zeros")


def noted(suite: str, found: list[str], cells: list[Cell] = CELLS) -> list[str]:
    """The cells that went wrong, after all were recorded."""
    for cell, what in zip(cells, found, strict=True):
        record(suite, str(cell), what)
    return [f"{cell}: {what}" for cell, what in zip(cells, found, strict=True) if what]


async def lasting(ground: Ground, cell: Cell, root: Path, canary: faults.StallingProxy) -> str:
    """What is wrong with how a lasting fault is told and left behind; nothing where all is right."""
    elsewhere = canary.endpoint.replace("127.0.0.1", "localhost")
    spoiling = Spoiling(cell.operation, cell.fault.spoil)
    async with FaultProxy(ground.store.endpoint, ground.recorded, spoiling, elsewhere) as proxy:
        outcome, sentence = await ground.told(cell.operation, proxy.endpoint, root)
        wanted = cell.fault.outcomes(cell.operation)
        if outcome not in wanted:
            return f"told {outcome} ({sentence}), not {' or '.join(sorted(wanted))}"
        if not spoiling.seen:
            return "the operation never met the fault"
        if CANARY in sentence or "<" in sentence or not sentence.isprintable():
            return f"the sentence quotes the server: {sentence}"
        if outcome != "ok" and looks_whole(root):
            return "a directory looks whole"
        proxy.spoiling = None
        await ground.fetch(root, ground.store.options(proxy.endpoint))
    return (
        "" if ground.expected.items() <= contents_of(root / ground.hex).items() else "other bytes after it was healed"
    )


async def passing(ground: Ground, cell: Cell, root: Path) -> str:
    """What is wrong with a fetch that meets the fault once."""
    spoiling = Spoiling(cell.operation, cell.fault.spoil, times=1)
    async with FaultProxy(ground.store.endpoint, ground.recorded, spoiling, "http://localhost:9") as proxy:
        outcome, sentence = await ground.told(cell.operation, proxy.endpoint, root, SOME_TRIES)
    if outcome != "ok":
        return f"told {outcome} ({sentence})"
    return "" if ground.expected.items() <= contents_of(root / ground.hex).items() else "other bytes"
