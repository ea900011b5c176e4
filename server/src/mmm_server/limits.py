"""The bounds of one request, in one frozen object, and the checks that need nothing else."""

from collections.abc import Sequence
from dataclasses import dataclass

from mmm_server.errors import Unprocessable
from mmm_server.settings import Settings

# No tokenizer packs more than this into a token on average; it bounds the tokenizer's own work.
CHARS_PER_TOKEN = 64
DEFAULT_TEXT_CHARS = 8192


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """What connections may take of one port; 0 connections or seconds of a connection mean any number."""

    connections: int = 4096
    connections_per_peer: int = 0
    head_bytes: int = 32 * 1024
    head_fields: int = 128
    head_seconds: float = 10.0
    write_stall_seconds: float = 30.0
    keep_alive_seconds: int = 120
    connection_seconds: float = 30.0


@dataclass(frozen=True, slots=True)
class Limits:
    """What one request may hold."""

    body_bytes: int = 32 * 1024 * 1024
    inflight_bytes: int = 512 * 1024 * 1024
    image_pixels: int = 50_000_000
    labels: int = 256
    text_tokens: int | None = None
    text_chars: int = DEFAULT_TEXT_CHARS
    items: int = 64
    json_depth: int = 32
    json_values: int = 10_000
    body_stall_seconds: float = 10.0

    def check_items(self, images: int, texts: int) -> None:
        """Refuses more items than one request may hold."""
        if images > self.items:
            raise Unprocessable(f"The request holds {images} images, the limit is {self.items}.")
        if texts > max(self.items, self.labels):
            raise Unprocessable(f"The request holds {texts} texts, the limit is {max(self.items, self.labels)}.")

    def check_labels(self, labels: Sequence[str]) -> None:
        """Refuses label sets that are empty, too long or ambiguous."""
        if not labels:
            raise Unprocessable("At least one label is needed.")
        if len(labels) > self.labels:
            raise Unprocessable(f"The request holds {len(labels)} labels, the limit is {self.labels}.")
        if len(set(labels)) != len(labels):
            raise Unprocessable("The labels must differ from each other.")


def limits_of(settings: Settings) -> Limits:
    """The limits that the settings ask for."""
    tokens = settings.max_text_tokens
    return Limits(
        body_bytes=settings.max_body_bytes,
        inflight_bytes=settings.max_inflight_bytes,
        image_pixels=settings.max_image_pixels,
        labels=settings.max_labels,
        text_tokens=tokens,
        text_chars=DEFAULT_TEXT_CHARS if tokens is None else tokens * CHARS_PER_TOKEN,
        items=settings.max_items,
        json_depth=settings.max_json_depth,
        json_values=settings.max_json_values,
        body_stall_seconds=settings.body_stall_seconds,
    )


def connection_limits_of(settings: Settings) -> ConnectionLimits:
    """The bounds of connections that the settings ask for."""
    return ConnectionLimits(
        connections=settings.max_connections,
        connections_per_peer=settings.max_connections_per_peer,
        head_bytes=settings.max_head_bytes,
        head_fields=settings.max_head_fields,
        head_seconds=settings.head_timeout_seconds,
        write_stall_seconds=settings.write_stall_seconds,
        keep_alive_seconds=settings.keep_alive_seconds,
        connection_seconds=settings.connection_seconds,
    )
