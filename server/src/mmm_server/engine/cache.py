"""Vectors that were computed before. Event loop only.

Texts: the same labels come with every request, so a small memory of them is always kept.
Images: only where it was asked for, in this process or in a Redis that the replicas share. Keys hold the digest of the
model, how the answer was computed, and a hash of the image's bytes; values are plain little-endian floats.
"""

import asyncio
import hashlib
import logging
import time
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np

from mmm_server.backends.base import Vector
from mmm_server.logs import fields

log = logging.getLogger(__name__)

LARGE = 256 * 1024  # bytes that take so long to hash that the event loop should not do it
REDIS_SECONDS = 0.5  # a cache that is slower than computing is none; a busy event loop alone takes a tenth of it
CONNECTIONS = 32  # a burst waits for one of them instead of opening more
PAUSE_SECONDS = 5.0  # how long a cache that failed is left alone


class VectorCache:
    """The vectors used last, bounded by their number or by their bytes."""

    def __init__(self, max_items: int | None = None, max_bytes: int | None = None) -> None:
        self._max_items = max_items
        self._max_bytes = max_bytes
        self._bytes = 0
        self._vectors: OrderedDict[str, Vector] = OrderedDict()

    def get(self, key: str) -> Vector | None:
        """The vector that was remembered under a key."""
        vector = self._vectors.get(key)
        if vector is not None:
            self._vectors.move_to_end(key)
        return vector

    def put(self, key: str, vector: Vector) -> None:
        """Remembers a vector and forgets those that were unused for longest."""
        vector = vector.copy()  # a row of a batch would keep all of the batch
        known = self._vectors.pop(key, None)
        self._bytes += vector.nbytes - (0 if known is None else known.nbytes)
        self._vectors[key] = vector
        while self._vectors and self._too_much():
            self._bytes -= self._vectors.popitem(last=False)[1].nbytes

    def _too_much(self) -> bool:
        too_many = self._max_items is not None and len(self._vectors) > self._max_items
        return too_many or (self._max_bytes is not None and self._bytes > self._max_bytes)


class Results(Protocol):
    """Where the vectors of images are remembered."""

    async def get(self, keys: Sequence[str], dimensions: int) -> dict[str, Vector]:
        """The known vectors; what cannot be asked counts as unknown."""
        ...

    async def put(self, vectors: Mapping[str, Vector]) -> None:
        """Remembers vectors; what cannot be written is forgotten."""
        ...


class MemoryResults:
    """In this process."""

    def __init__(self, max_bytes: int) -> None:
        self._cache = VectorCache(max_bytes=max_bytes)

    async def get(self, keys: Sequence[str], dimensions: int) -> dict[str, Vector]:
        """The known vectors."""
        return {key: vector for key in keys if (vector := self._cache.get(key)) is not None}

    async def put(self, vectors: Mapping[str, Vector]) -> None:
        """Remembers vectors."""
        for key, vector in vectors.items():
            self._cache.put(key, vector)


class RedisResults:
    """In a Redis that all replicas share; one that fails or is slow is left alone for a while and costs nothing."""

    def __init__(self, url: str, ttl_seconds: int) -> None:
        from redis.asyncio import BlockingConnectionPool, Redis

        bounds = {"socket_timeout": REDIS_SECONDS, "socket_connect_timeout": REDIS_SECONDS, "timeout": REDIS_SECONDS}
        self._redis = Redis(connection_pool=BlockingConnectionPool.from_url(url, max_connections=CONNECTIONS, **bounds))
        self._ttl = ttl_seconds
        self._paused_until = 0.0

    async def get(self, keys: Sequence[str], dimensions: int) -> dict[str, Vector]:
        """The known vectors; a value of another length is none of ours."""
        if time.monotonic() < self._paused_until:
            return {}
        try:
            async with asyncio.timeout(REDIS_SECONDS):
                found = await self._redis.mget(keys)
        except Exception as error:  # noqa: BLE001  whatever is wrong with the cache, the answer can be computed
            self._pause(error)
            return {}
        return {
            key: np.frombuffer(value, dtype="<f4").astype(np.float32)
            for key, value in zip(keys, found, strict=True)
            if isinstance(value, bytes) and len(value) == 4 * dimensions
        }

    async def put(self, vectors: Mapping[str, Vector]) -> None:
        """Remembers vectors for the time that was configured."""
        if time.monotonic() < self._paused_until:
            return
        try:
            async with asyncio.timeout(REDIS_SECONDS), self._redis.pipeline(transaction=False) as pipeline:
                for key, vector in vectors.items():
                    pipeline.set(key, vector.astype("<f4").tobytes(), ex=self._ttl)
                await pipeline.execute()
        except Exception as error:  # noqa: BLE001  see above
            self._pause(error)

    def _pause(self, error: Exception) -> None:
        self._paused_until = time.monotonic() + PAUSE_SECONDS
        log.warning("the result cache does not answer", extra=fields(error=type(error).__name__, pause=PAUSE_SECONDS))


async def image_keys(prefix: str, images: Sequence[bytes]) -> list[str]:
    """One key per image: the prefix and a hash of its bytes."""
    if sum(map(len, images)) > LARGE:
        return await asyncio.to_thread(_keys, prefix, images)
    return _keys(prefix, images)


def _keys(prefix: str, images: Sequence[bytes]) -> list[str]:
    return [prefix + hashlib.blake2b(image, digest_size=20).hexdigest() for image in images]
