"""A client that sends streams exactly as they are, and reads answers as strictly as a careful proxy."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

import httptools

from tests.server.corpora.case import SEED
from tests.server.corpora.judge import Judge
from tests.server.corpora.streams import UNTIL_ANSWERED, Stream

SILENCE_SECONDS = 0.2  # without a further answer, where none must come
HANG_SECONDS = 15.0
AT_ONCE = 60


@dataclass
class Answers:
    """What came back; the parser raises for anything that is not HTTP."""

    statuses: list[int] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    ended: bool = False

    def __post_init__(self) -> None:
        self.parser = httptools.HttpResponseParser(self)
        self._body = b""
        self.begun = asyncio.Event()

    def on_body(self, body: bytes) -> None:
        self._body += body

    def on_message_complete(self) -> None:
        self.statuses.append(self.parser.get_status_code())
        self.bodies.append(self._body)
        self.begun.set()
        self._body = b""


async def play(port: int, stream: Stream) -> Answers:
    """Sends a stream and collects the answers until enough of them came, or the end."""
    answers = Answers()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    sending = asyncio.create_task(_send(writer, stream, answers))
    try:
        async with asyncio.timeout(HANG_SECONDS):
            await _receive(reader, answers, stream)
    finally:
        sending.cancel()
        writer.close()
    return answers


async def _send(writer: asyncio.StreamWriter, stream: Stream, answers: Answers) -> None:
    try:
        for step in stream.steps:
            if step == UNTIL_ANSWERED:
                await answers.begun.wait()
            elif isinstance(step, float):
                await asyncio.sleep(step)
            else:
                writer.write(step)
                await writer.drain()
    except ConnectionError:
        pass  # the server had heard enough; what it answered is read all the same


async def _receive(reader: asyncio.StreamReader, answers: Answers, stream: Stream) -> None:
    while True:
        enough = len(answers.statuses) >= max(1, stream.least) and not stream.ends and answers.statuses != [100]
        try:
            async with asyncio.timeout(SILENCE_SECONDS if enough else None):
                received = await reader.read(65_536)
        except TimeoutError:
            return
        except ConnectionError:
            received = b""
        if not received:
            answers.ended = True
            return
        answers.parser.feed_data(received)


async def play_all(judge: Judge, streams: Sequence[Stream]) -> None:
    """Sends all streams, many at once, and checks what came back."""
    room = asyncio.Semaphore(AT_ONCE)

    async def one(stream: Stream) -> None:
        async with room:
            try:
                answers = await play(judge.port, stream)
            except TimeoutError:
                raise AssertionError(f"neither answered nor ended: {stream.name} (CORPUS_SEED={SEED})") from None
        told = f"{answers.statuses} for {stream.name!r} (CORPUS_SEED={SEED})"
        assert stream.least <= len(answers.statuses) <= stream.answers, told
        assert answers.ended or not stream.ends, told
        for status, body in zip(answers.statuses, answers.bodies, strict=True):
            judge.check(stream.name, status, body, stream.allowed)

    async with asyncio.TaskGroup() as group:
        for stream in streams:
            group.create_task(one(stream))
