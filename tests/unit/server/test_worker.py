"""The inference thread with the fake backend: real thread, real batches, no HTTP."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from weakref import WeakSet

import numpy as np
import pytest
from PIL import Image

from mmm_server.backends.base import Backend, Kind, Matrix, Prepared, Result
from mmm_server.backends.fake import FakeBackend, Faults
from mmm_server.engine.batching import BatchLimits
from mmm_server.engine.lifecycle import Lifecycle, State
from mmm_server.engine.ticket import Item, Ticket
from mmm_server.engine.worker import Batch, InferenceThread, Links
from mmm_server.errors import DeviceOutOfMemory, Fatal, InferenceFailed, ModelLoadFailed, Refused

SECONDS = 10.0


class SmallDevice(FakeBackend):
    """A device whose memory holds two items."""

    largest = 0
    memory = 2

    def launch(self, batch: Sequence[Prepared]) -> Result:
        if len(batch) > self.memory:
            raise DeviceOutOfMemory
        self.largest = max(self.largest, len(batch))
        return super().launch(batch)


class Scrap:
    """What a forward pass computed on its way."""


class Littered(SmallDevice):
    """A small device, half of which is taken as long as anything is left of a batch that failed."""

    def __init__(self, failure: type[Exception]) -> None:
        super().__init__("FakeDualEncoder", Faults())
        self._scraps: WeakSet[Scrap] = WeakSet()
        self._failure = failure
        self.failures = 0

    def launch(self, batch: Sequence[Prepared]) -> Result:
        if len(batch) > self.memory // (2 if self._scraps else 1):
            self._fail_deep_inside()
        return super().launch(batch)

    def _fail_deep_inside(self) -> None:
        scrap = Scrap()
        self._scraps.add(scrap)
        self.failures += 1
        try:
            raise MemoryError
        except MemoryError:
            raise self._failure from None


class Infinite(FakeBackend):
    """A model that overflows on white images."""

    def launch(self, batch: Sequence[Prepared]) -> Result:
        vectors = super().launch(batch)()
        vectors[[float(np.asarray(item.values, dtype=np.float32).min()) > 250 for item in batch]] = np.inf
        return lambda: vectors


class Recorder(FakeBackend):
    """Writes down when batches were launched and asked for."""

    def __init__(self, faults: Faults) -> None:
        super().__init__("FakeDualEncoder", faults)
        self.events: list[str] = []

    def launch(self, batch: Sequence[Prepared]) -> Result:
        number = len([event for event in self.events if event.startswith("launch")])
        self.events.append(f"launch {number}")
        result = super().launch(batch)

        def recorded() -> Matrix:
            self.events.append(f"result {number}")
            return result()

        return recorded


@dataclass
class Observed:
    """Everything that the thread reported."""

    batches: list[Batch] = field(default_factory=list)
    limits: list[BatchLimits] = field(default_factory=list)
    death: Fatal | None = None
    warm: threading.Event = field(default_factory=threading.Event)
    news: threading.Condition = field(default_factory=threading.Condition)

    def on_batch(self, batch: Batch) -> None:
        with self.news:
            self.batches.append(batch)
            self.news.notify_all()

    def on_death(self, fatal: Fatal) -> None:
        with self.news:
            self.death = fatal
            self.news.notify_all()

    def wait(self, condition: Callable[[], bool]) -> None:
        with self.news:
            assert self.news.wait_for(condition, SECONDS)

    def result(self, item: Item) -> object:
        def found() -> list[object]:
            return [one.result for batch in self.batches for one in batch.outcomes if one.item is item]

        self.wait(lambda: bool(found()))
        assert len(found()) == 1, "an item is answered once"
        return found()[0]


@dataclass
class Rig:
    """A thread under test."""

    thread: InferenceThread
    lifecycle: Lifecycle
    observed: Observed


Start = Callable[..., Rig]


@pytest.fixture
def start() -> Iterator[Start]:
    rigs: list[Rig] = []

    def begin(load: Callable[[], Backend], max_images: int = 8) -> Rig:
        observed, lifecycle = Observed(), Lifecycle()

        def on_death(fatal: Fatal) -> None:
            lifecycle.fail(fatal)
            observed.on_death(fatal)

        links = Links(
            load=load,
            limits=lambda _: BatchLimits(max_images),
            on_loaded=lambda *_: None,
            on_warm=observed.warm.set,
            on_batch=observed.on_batch,
            on_limits=observed.limits.append,
            on_death=on_death,
        )
        rigs.append(Rig(InferenceThread(links, lifecycle), lifecycle, observed))
        rigs[-1].thread.start()
        return rigs[-1]

    yield begin
    for rig in rigs:
        rig.thread.close()
        rig.thread.join(SECONDS)
        assert not rig.thread.is_alive()


def make_backend(**faults: object) -> FakeBackend:
    return FakeBackend("FakeDualEncoder", Faults(**faults))  # type: ignore[arg-type]


def item_of(prepared: Prepared) -> Item:
    loop = asyncio.new_event_loop()
    future = loop.create_future()
    loop.close()
    return Item(Ticket("r", 1e9), prepared, future, 0.0)


def texts(backend: FakeBackend, *words: str) -> list[Item]:
    return [item_of(prepared) for prepared in backend.prepare_texts(words)]


def image(backend: FakeBackend, value: int) -> Item:
    return item_of(backend.prepare_image(Image.new("RGB", (8, 8), (value,) * 3)))


def test_what_waits_together_is_computed_together(start: Start) -> None:
    backend = make_backend(delay_seconds=0.05)
    rig = start(lambda: backend)
    assert rig.observed.warm.wait(SECONDS)
    items = texts(backend, "a", "b", "c")
    rig.thread.submit(items)
    for item in items:
        assert isinstance(rig.observed.result(item), np.ndarray)
    assert [len(batch.outcomes) for batch in rig.observed.batches] == [3]
    assert rig.observed.batches[0].outcomes[0].item.prepared.kind is Kind.TEXT


def test_only_the_poisoned_item_fails(start: Start) -> None:
    backend = make_backend(poison="poison")
    rig = start(lambda: backend)
    items = texts(backend, "a", "poison", "b", "c")
    rig.thread.submit(items)
    results = [rig.observed.result(item) for item in items]
    assert [isinstance(result, InferenceFailed) for result in results] == [False, True, False, False]


def test_an_infinite_answer_fails_alone(start: Start) -> None:
    backend = Infinite("FakeDualEncoder", Faults())
    rig = start(lambda: backend)
    items = [image(backend, 0), image(backend, 255)]
    rig.thread.submit(items)
    assert isinstance(rig.observed.result(items[0]), np.ndarray)
    assert isinstance(rig.observed.result(items[1]), Refused)


def test_a_full_device_gets_smaller_batches_and_every_item_an_answer(start: Start) -> None:
    backend = SmallDevice("FakeDualEncoder", Faults())
    rig = start(lambda: backend, max_images=8)
    assert rig.observed.warm.wait(SECONDS)
    items = [image(backend, value) for value in range(12)]
    rig.thread.submit(items)
    assert all(isinstance(rig.observed.result(item), np.ndarray) for item in items)
    assert backend.largest == 2
    assert [limits.max_images for limits in rig.observed.limits] == [4, 2]


@pytest.mark.parametrize(("failure", "sizes"), [(DeviceOutOfMemory, [4]), (ValueError, [])])
def test_what_a_failed_batch_left_is_gone_before_smaller_ones_are_tried(
    start: Start, failure: type[Exception], sizes: list[int]
) -> None:
    backend = Littered(failure)
    backend.memory = 1000
    rig = start(lambda: backend, max_images=8)
    assert rig.observed.warm.wait(SECONDS)
    backend.memory = 4
    items = [image(backend, value) for value in range(8)]
    rig.thread.submit(items)
    assert all(isinstance(rig.observed.result(item), np.ndarray) for item in items)
    assert backend.failures == 1
    assert [limits.max_images for limits in rig.observed.limits] == sizes


@pytest.mark.parametrize("memory", [2, 8])
def test_when_memory_was_given_back_full_batches_are_tried_again(start: Start, memory: int) -> None:
    backend = SmallDevice("FakeDualEncoder", Faults())
    rig = start(lambda: backend, max_images=8)
    assert rig.observed.warm.wait(SECONDS)
    assert rig.observed.limits[-1].max_images == 2
    backend.memory = memory
    rig.thread.restore()
    deadline = time.monotonic() + SECONDS
    while rig.observed.limits[-1].max_images < 8:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    items = [image(backend, value) for value in range(12)]
    rig.thread.submit(items)
    assert all(isinstance(rig.observed.result(item), np.ndarray) for item in items)
    assert backend.largest == memory
    assert rig.observed.limits[-1].max_images == memory


def test_batches_that_were_never_warm_are_not_tried_where_each_size_is_compiled(start: Start) -> None:
    backend = SmallDevice("FakeDualEncoder", Faults())
    backend.capabilities = replace(backend.capabilities, batch_sizes=(1, 2, 4, 8))
    rig = start(lambda: backend, max_images=8)
    assert rig.observed.warm.wait(SECONDS)
    warm = rig.observed.limits[-1]
    backend.memory, backend.largest = 8, 0
    rig.thread.restore()
    items = [image(backend, value) for value in range(12)]
    rig.thread.submit(items)
    assert all(isinstance(rig.observed.result(item), np.ndarray) for item in items)
    assert (rig.observed.limits[-1], backend.largest) == (warm, warm.max_images)


@pytest.mark.parametrize("overlaps", [False, True])
def test_a_device_that_works_on_its_own_always_has_the_next_batch(start: Start, overlaps: bool) -> None:
    backend = Recorder(Faults(delay_seconds=0.02, overlaps=overlaps))
    rig = start(lambda: backend, max_images=1)
    assert rig.observed.warm.wait(SECONDS)
    backend.events.clear()
    items = [image(backend, value) for value in range(3)]
    began = time.monotonic()
    rig.thread.submit(items)
    assert all(isinstance(rig.observed.result(item), np.ndarray) for item in items)
    ahead = ["launch 0", "launch 1", "result 0", "launch 2", "result 1", "result 2"]
    alone = ["launch 0", "result 0", "launch 1", "result 1", "launch 2", "result 2"]
    assert backend.events == (ahead if overlaps else alone)
    busy = sum(batch.seconds for batch in rig.observed.batches)
    assert busy <= time.monotonic() - began, "time that two batches share is counted once"


def test_a_batch_ahead_is_still_answered_when_the_one_before_it_fails(start: Start) -> None:
    backend = make_backend(poison="poison", overlaps=True, delay_seconds=0.02)
    rig = start(lambda: backend, max_images=1)
    assert rig.observed.warm.wait(SECONDS)
    bad, good = texts(backend, "poison")[0], image(backend, 3)
    rig.thread.submit([bad, good])
    assert isinstance(rig.observed.result(bad), InferenceFailed)
    assert isinstance(rig.observed.result(good), np.ndarray)


def test_a_deadly_item_ends_the_thread_and_nobody_keeps_waiting(start: Start) -> None:
    backend = make_backend(deadly="die", delay_seconds=0.05)
    rig = start(lambda: backend, max_images=1)
    assert rig.observed.warm.wait(SECONDS)
    deadly, waiting = texts(backend, "die")[0], image(backend, 1)
    rig.thread.submit([deadly, waiting])
    assert isinstance(rig.observed.result(deadly), InferenceFailed)
    assert isinstance(rig.observed.result(waiting), Refused)
    rig.observed.wait(lambda: rig.observed.death is not None)
    assert rig.lifecycle.state is State.FAILED
    assert not rig.thread.submit(texts(backend, "late"))


def test_a_model_that_cannot_be_loaded_is_reported_with_its_own_reason(start: Start) -> None:
    failure = ModelLoadFailed("no weights")

    def load() -> Backend:
        raise failure

    rig = start(load)
    rig.observed.wait(lambda: rig.observed.death is failure)
    assert rig.lifecycle.failure is failure


def test_a_model_that_fails_on_its_own_example_never_becomes_ready(start: Start) -> None:
    backend = make_backend(poison="example")
    rig = start(lambda: backend)
    rig.observed.wait(lambda: rig.observed.death is not None)
    assert rig.observed.death is not None
    assert rig.observed.death.reason == "WarmUpFailed"
    assert not rig.lifecycle.answering


def test_busy_time_and_heartbeat_are_measured(start: Start) -> None:
    backend = make_backend(delay_seconds=0.1)
    rig = start(lambda: backend)
    item = texts(backend, "a")[0]
    rig.thread.submit([item])
    rig.observed.result(item)
    assert rig.thread.heartbeat_age() < 5.0
    assert rig.observed.batches[0].seconds >= 0.1
