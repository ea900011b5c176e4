"""The mirror itself: bounded whatever comes, and never believing what the other side says."""

import asyncio
import gzip
import json
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from mmm_server.http.exchange import KEY, Exchange
from mmm_server.http.mirror import MOST_AT_ONCE, MOST_BYTES, MOST_WAITING, SHORT, Mirror
from mmm_server.http.reply import Reply, json_reply
from mmm_server.metrics import Metrics

ANSWER = json_reply({"some": "thing"})
Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def scope(*headers: tuple[bytes, bytes], path: bytes = b"/predict", query: bytes = b"") -> dict[str, Any]:
    return {"headers": list(headers), "raw_path": path, "query_string": query, KEY: Exchange("the-id", path.decode())}


class Other:
    """Another version that says what it is told to, and remembers what it was asked."""

    def __init__(self, *answers: bytes, hold: bool = False, together: int = 1) -> None:
        self.answers = answers
        self.together = together  # so many are asked before the first is answered
        self._asked_by: list[asyncio.Future[None]] = []
        self.hold = hold
        self.connections = 0
        self.asked: list[bytes] = []
        self._tasks: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def at(self, directory: Path) -> AsyncIterator[None]:
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        (directory / "mirror.json").write_text(json.dumps({"url": f"http://127.0.0.1:{port}"}))
        try:
            yield
        finally:
            server.close()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            await asyncio.sleep(0.01)  # what was aborted closes its socket a moment later

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._tasks.add(asyncio.ensure_future(self._serve(reader, writer)))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
                self.asked.append(head + await reader.readexactly(length))
                if self.hold:
                    await asyncio.Event().wait()
                await self._gathered()
                for piece in self.answers:
                    writer.write(piece)
                    await writer.drain()
                if not self.answers or b"connection: close" in self.answers[0]:
                    return
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.transport.abort()

    async def _gathered(self) -> None:
        self._asked_by.append(asyncio.get_running_loop().create_future())
        waiting = self._asked_by[-1]
        if len(self._asked_by) >= self.together:
            for one in self._asked_by:
                one.set_result(None)
            self._asked_by.clear()
        await waiting


class Harness:
    """A mirror that runs."""

    def __init__(self, directory: Path, **patience: float) -> None:
        self.metrics = Metrics()
        self.mirror = Mirror(self.metrics, directory, loopback=True, **patience)

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Harness"]:
        task = asyncio.create_task(self.mirror.run())
        try:
            await self.until(lambda: self.mirror.on)
            yield self
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await asyncio.sleep(0.01)

    async def until(self, condition: Callable[[], object], looks: int = 4000, pause: float = 0.005) -> None:
        for _ in range(looks):
            if condition():
                return
            await asyncio.sleep(pause)
        raise AssertionError("it never came true")

    def result(self, name: str) -> int:
        return int(self.metrics.registry.get_sample_value("mmm_mirror_total", {"result": name}) or 0)

    def has(self, name: str, number: int) -> bool:
        return self.result(name) >= number

    async def counted(self, name: str, number: int = 1) -> None:
        await self.until(lambda: self.has(name, number))


def http(body: bytes, status: str = "200 OK", headers: str = "") -> bytes:
    return f"HTTP/1.1 {status}\r\ncontent-length: {len(body)}\r\n{headers}\r\n".encode() + body


async def test_a_copy_says_what_it_is_and_nothing_of_who_asked(tmp_path: Path) -> None:
    other = Other(http(ANSWER.body))
    async with other.at(tmp_path), Harness(tmp_path).running() as harness:
        headers = [(b"content-type", b"image/jpeg"), (b"authorization", b"secret"), (b"cookie", b"secret")]
        harness.mirror.offer(scope(*headers, query=b"labels=a,b"), b"bytes", ANSWER)
        await harness.counted("same")
        (asked,) = other.asked
        lines = asked.split(b"\r\n")
        assert lines[0] == b"POST /predict?labels=a,b HTTP/1.1"
        assert {b"content-type: image/jpeg", b"x-mirrored: true", b"x-request-id: the-id"} <= set(lines)
        assert asked.endswith(b"\r\n\r\nbytes")
        assert b"secret" not in asked


async def test_of_a_query_only_what_a_route_reads_is_copied(tmp_path: Path) -> None:
    other = Other(http(ANSWER.body))
    async with other.at(tmp_path), Harness(tmp_path).running() as harness:
        for query in (b"api_key=secret", b"labels=a%26b&api_key=secret&l%61bels=c+d&=secret&&template={}%3Dx&secret"):
            harness.mirror.offer(scope(query=query), b"", ANSWER)
        await harness.counted("same", 2)
        addresses = {asked.split(b" ")[1] for asked in other.asked}
        assert addresses == {b"/predict", b"/predict?labels=a%26b&l%61bels=c+d&template={}%3Dx"}


async def test_the_version_in_a_path_is_left_out(tmp_path: Path) -> None:
    other = Other(http(ANSWER.body))
    async with other.at(tmp_path), Harness(tmp_path).running() as harness:
        named, of_a_model = b"/v2/models/a/versions/7/infer", b"/v2/models/a/versions/b/infer"
        harness.mirror.offer({**scope(path=named), "path_params": {"version": "7"}}, b"", ANSWER)
        harness.mirror.offer(scope(path=of_a_model), b"", ANSWER)
        await harness.counted("same", 2)
        asked = {head.split(b" ")[1] for head in other.asked}
        assert asked == {b"/v2/models/a/infer", of_a_model}


async def test_connections_are_kept_and_copies_are_not_copied(tmp_path: Path) -> None:
    other = Other(http(ANSWER.body))
    async with other.at(tmp_path), Harness(tmp_path).running() as harness:
        for number in range(1, 6):
            harness.mirror.offer(scope((b"x-mirrored", b"true")), b"", ANSWER)
            harness.mirror.offer(scope(), b"", ANSWER)
            await harness.counted("same", number)
        assert (len(other.asked), other.connections) == (5, 1)


async def test_a_copy_that_is_offered_while_the_last_ones_end_is_sent(tmp_path: Path) -> None:
    other = Other(http(ANSWER.body), together=MOST_AT_ONCE)
    async with other.at(tmp_path), Harness(tmp_path).running() as harness:
        for number in range(1, 6):
            for _ in range(MOST_AT_ONCE):
                harness.mirror.offer(scope(), b"", ANSWER)
            # To see it in the very round of the loop in which they end.
            await harness.until(partial(harness.has, "same", number * MOST_AT_ONCE), 100_000, 0.0)
        other.together = 1
        harness.mirror.offer(scope(), b"", ANSWER)
        await harness.counted("same", 5 * MOST_AT_ONCE + 1)


async def test_what_does_not_fit_is_dropped_at_once(tmp_path: Path) -> None:
    other = Other(hold=True)
    async with other.at(tmp_path), Harness(tmp_path).running() as harness:
        for _ in range(1000):
            harness.mirror.offer(scope(), b"bytes", ANSWER)
        assert harness.result("dropped") == 1000 - MOST_WAITING
        await harness.until(lambda: other.connections)
        for _ in range(1000):
            harness.mirror.offer(scope(), b"bytes", ANSWER)
        await asyncio.sleep(0.05)
        assert other.connections <= MOST_AT_ONCE


async def test_the_bytes_that_wait_are_bounded(tmp_path: Path) -> None:
    other = Other(hold=True)
    body = bytes(MOST_BYTES // 4)
    async with other.at(tmp_path), Harness(tmp_path).running() as harness:
        for _ in range(10):
            harness.mirror.offer(scope(), body, ANSWER)
        assert harness.result("dropped") == 10 - 3


async def test_what_was_held_is_given_back(tmp_path: Path) -> None:
    other = Other(http(ANSWER.body))
    body = bytes(MOST_BYTES // 2)
    async with other.at(tmp_path), Harness(tmp_path).running() as harness:
        for number in range(1, 5):
            harness.mirror.offer(scope(), body, ANSWER)
            await harness.counted("same", number)
        assert harness.result("dropped") == 0


@pytest.mark.parametrize(
    "answers",
    [
        [],
        [b"garbage\r\n\r\n"],
        [b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\nconnection: close\r\n\r\nshort"],
        [http(b"", "302 Found", "location: http://attacker.example/\r\n")],
        [http(b"{}", "500 Internal Server Error")],
        [b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 1000 + b"\r\n"],
        [b"HTTP/1.1 200 OK\r\ncontent-length: 999999999999\r\n\r\n", *([bytes(2**20)] * 20)],
        [b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n"],
    ],
    ids=["nothing", "garbage", "short", "redirect", "error", "headers", "endless", "upgrade"],
)
async def test_what_is_no_answer_has_failed(tmp_path: Path, answers: list[bytes]) -> None:
    other = Other(*answers)
    async with other.at(tmp_path), Harness(tmp_path).running() as harness:
        harness.mirror.offer(scope(), b"", ANSWER)
        await harness.counted("failed")
        assert len(other.asked) == 1


async def test_to_refuse_what_the_other_one_answers_is_another_answer(tmp_path: Path) -> None:
    other = Other(http(b"{}", "422 Unprocessable Content"))
    async with other.at(tmp_path), Harness(tmp_path).running() as harness:
        harness.mirror.offer(scope(), b"", ANSWER)
        await harness.counted("different")


async def test_an_answer_that_never_comes_has_failed(tmp_path: Path) -> None:
    other = Other(hold=True)
    async with other.at(tmp_path), Harness(tmp_path, timeout_seconds=0.1).running() as harness:
        harness.mirror.offer(scope(), b"", ANSWER)
        await harness.counted("failed")


async def test_a_full_version_is_left_in_peace(tmp_path: Path) -> None:
    other, rest = Other(http(b"{}", "429 Too Many Requests")), 2.0
    async with other.at(tmp_path), Harness(tmp_path, rest_seconds=rest).running() as harness:
        harness.mirror.offer(scope(), b"", ANSWER)
        await harness.counted("dropped")
        for _ in range(10):
            harness.mirror.offer(scope(), b"", ANSWER)
        assert harness.result("dropped") == 11
        assert len(other.asked) == 1
        other.answers = (http(ANSWER.body),)
        await asyncio.sleep(rest)  # what is awaited is the time itself
        harness.mirror.offer(scope(), b"", ANSWER)
        await harness.counted("same")


async def test_large_answers_are_compared_too(tmp_path: Path) -> None:
    answer: Reply = json_reply({"similarities": [[0.5] * 200_000]})
    other = Other(http(answer.body))
    async with other.at(tmp_path), Harness(tmp_path).running() as harness:
        harness.mirror.offer(scope(), b"", answer)
        await harness.counted("same")


async def test_few_bytes_that_become_many_are_not_read_on_the_event_loop(tmp_path: Path) -> None:
    body = gzip.compress(b'{"similarities": [[' + b", ".join([b"0.5"] * 500_000) + b"]]}")
    assert len(body) < SHORT
    other = Other(http(body, headers="content-encoding: gzip\r\n"))
    async with other.at(tmp_path), Harness(tmp_path).running() as harness:
        before = set(threading.enumerate())
        harness.mirror.offer(scope(), b"", Reply(body, ((b"content-encoding", b"gzip"),)))
        await harness.counted("same")
        assert [thread for thread in set(threading.enumerate()) - before if "mirror" in thread.name]


async def test_an_answer_that_cannot_be_compared_ends_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    deep = Reply(b"[" * 1000 + b"]" * 1000)  # too deep to be compared, not too deep to be read
    other = Other(http(deep.body))
    async with other.at(tmp_path), Harness(tmp_path).running() as harness:
        for _ in range(2 * MOST_AT_ONCE):
            harness.mirror.offer(scope(query=b"labels=secret"), b"", deep)
        await harness.until(lambda: sum(map(harness.result, ("same", "different", "failed"))) == 2 * MOST_AT_ONCE)
    told = [record for record in caplog.records if record.exc_info]
    assert told
    assert not any("secret" in str(vars(record)) for record in told)


async def test_without_a_directory_there_is_nothing_to_run() -> None:
    mirror = Mirror(Metrics(), None)
    await asyncio.wait_for(mirror.run(), 1)
    assert not mirror.on
