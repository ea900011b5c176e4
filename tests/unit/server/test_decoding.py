"""The decode pool with the fake backend: whatever becomes of an item, somebody is told."""

import asyncio
import threading
from collections.abc import Callable, Iterator, Sequence

import pytest
from PIL import Image

from mmm_server.backends.base import Prepared, Vector
from mmm_server.backends.fake import FakeBackend, Faults
from mmm_server.engine.decoding import Decoded, DecodePool
from mmm_server.engine.ticket import Ticket
from mmm_server.errors import InferenceFailed, Malformed, NotReady
from mmm_server.limits import Limits
from tests.server.pictures import jpeg

SECONDS = 10.0
SOUND = FakeBackend("FakeDualEncoder", Faults())


class Panic(BaseException):
    """What a native library raises that does not want to be caught."""


class Panicking(FakeBackend):
    """A backend whose parts fail in two ways."""

    def prepare_texts(self, texts: Sequence[str]) -> list[Prepared]:
        raise Panic

    def prepare_image(self, picture: Image.Image) -> Prepared:
        raise ValueError("a bug")


Told = Callable[[], Decoded]


@pytest.fixture
def pool() -> Iterator[tuple[DecodePool, Told]]:
    told: list[Decoded] = []
    news = threading.Semaphore(0)

    def finished(decoded: Decoded) -> None:
        told.append(decoded)
        news.release()

    def wait() -> Decoded:
        assert news.acquire(timeout=SECONDS)
        return told.pop()

    started = DecodePool(1, Limits(), finished)
    yield started, wait
    started.close()


def ticket() -> Ticket:
    return Ticket("r", 1e9)


def future() -> asyncio.Future[Vector]:
    loop = asyncio.new_event_loop()
    made: asyncio.Future[Vector] = loop.create_future()
    loop.close()
    return made


def test_a_picture_becomes_an_item(pool: tuple[DecodePool, Told]) -> None:
    decoding, told = pool
    decoding.decode_image(SOUND, ticket(), jpeg(), future())
    decoded = told()
    assert (len(decoded.items), decoded.failure) == (1, None)


def test_a_panic_is_told_and_the_pool_goes_on(pool: tuple[DecodePool, Told]) -> None:
    decoding, told = pool
    backend = Panicking("FakeDualEncoder", Faults())
    for _ in range(3):
        decoding.prepare_texts(backend, ticket(), ["a"], [future()])
        assert isinstance(told().failure, InferenceFailed)
    decoding.decode_image(backend, ticket(), jpeg(), future())
    assert isinstance(told().failure, ValueError)
    decoding.decode_image(backend, ticket(), b"", future())
    assert isinstance(told().failure, Malformed)


def test_what_comes_after_the_end_is_told_to_go_elsewhere(pool: tuple[DecodePool, Told]) -> None:
    decoding, told = pool
    decoding.close()
    decoding.prepare_texts(SOUND, ticket(), ["a"], [future()])
    assert isinstance(told().failure, NotReady)
