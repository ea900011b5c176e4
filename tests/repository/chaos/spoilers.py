"""What a store, or something on the way to it, can make of an answer. Each takes the right answer and a wire."""

import asyncio
from collections.abc import Callable
from dataclasses import replace

from tests.repository.chaos.proxy import Answer, Spoil, Wire

DRIP_SECONDS = 0.1
CANARY = "canary-that-must-not-be-quoted"


def refuses(status: str, code: str = "", **headers: str) -> Spoil:
    """Answers with an error as S3 words it; without a code, as a gateway does."""

    async def spoil(answer: Answer, wire: Wire) -> None:
        page = f"<html><body>{CANARY}</body></html>"
        body = f"<Error><Code>{code}</Code><Message>{CANARY}</Message></Error>" if code else page
        named = {name.replace("_", "-"): value.format(canary=wire.canary) for name, value in headers.items()}
        # What a HEAD would have had as its body is not sent, and its length names nothing.
        sent = body.encode() if answer.body else b""
        await wire.send(
            Answer(status, {**named, "Content-Length": str(len(sent)), "Connection": "close"}, sent).bytes()
        )

    return spoil


def changed(change: Callable[[Answer], Answer]) -> Spoil:
    """Sends an answer that was changed as a whole."""

    async def spoil(answer: Answer, wire: Wire) -> None:
        await wire.send(change(answer).bytes())

    return spoil


def with_headers(**headers: str | None) -> Spoil:
    """Sends the answer with these headers instead; None leaves one out."""
    named = {name.replace("_", "-").title(): value for name, value in headers.items()}

    def change(answer: Answer) -> Answer:
        merged = {**answer.headers, **named}
        return replace(answer, headers={name: value for name, value in merged.items() if value is not None})

    return changed(change)


def with_body(make: Callable[[bytes], bytes]) -> Spoil:
    """Sends another body, and its right length."""

    def change(answer: Answer) -> Answer:
        body = make(answer.body)
        return replace(answer, headers={**answer.headers, "Content-Length": str(len(body))}, body=body)

    return changed(change)


def flipped(body: bytes) -> bytes:
    """The body with one bit changed, in its middle."""
    middle = len(body) // 2
    return body[:middle] + bytes([body[middle] ^ 4]) + body[middle + 1 :] if body else body


async def resets_at_once(answer: Answer, wire: Wire) -> None:
    wire.reset()


async def resets_in_the_head(answer: Answer, wire: Wire) -> None:
    await wire.send(answer.head()[:40])
    wire.reset()


async def resets_in_the_body(answer: Answer, wire: Wire) -> None:
    await wire.send(answer.head() + answer.body[: len(answer.body) // 2])
    wire.reset()


async def closes_in_the_body(answer: Answer, wire: Wire) -> None:
    await wire.send(answer.head() + answer.body[: len(answer.body) // 2])


async def closes_silently(answer: Answer, wire: Wire) -> None:
    """Says nothing, politely."""


async def stalls_at_once(answer: Answer, wire: Wire) -> None:
    await wire.hang()


async def stalls_in_the_head(answer: Answer, wire: Wire) -> None:
    await wire.send(answer.head()[:40])
    await wire.hang()


async def stalls_in_the_body(answer: Answer, wire: Wire) -> None:
    await wire.send(answer.head() + answer.body[: len(answer.body) // 2])
    await wire.hang()


async def drips(answer: Answer, wire: Wire) -> None:
    """Sends byte after byte, always in time for the next one and never in time for all."""
    for byte in answer.bytes():
        await wire.send(bytes([byte]))
        await asyncio.sleep(DRIP_SECONDS)


async def never_ends(answer: Answer, wire: Wire) -> None:
    """Sends the body again and again, in chunks, so that no length says where it ends."""
    headers = {name: value for name, value in answer.headers.items() if name != "Content-Length"}
    await wire.send(replace(answer, headers={**headers, "Transfer-Encoding": "chunked"}).head())
    block = (answer.body or b"x") * 100
    while not wire.writer.is_closing():
        await wire.send(f"{len(block):x}\r\n".encode() + block + b"\r\n")


async def speaks_something_else(answer: Answer, wire: Wire) -> None:
    await wire.send(b"SSH-2.0-OpenSSH_9.2\r\n" + b"\x00\xff" * 100)


async def sends_headers_without_end(answer: Answer, wire: Wire) -> None:
    await wire.send(b"HTTP/1.1 200 OK\r\n")
    for number in range(20_000):
        if wire.writer.is_closing():
            return
        await wire.send(f"X-Filler-{number}: {'x' * 200}\r\n".encode())


async def sends_more_than_its_length(answer: Answer, wire: Wire) -> None:
    await wire.send(answer.bytes() + answer.body + b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
