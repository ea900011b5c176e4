"""One thing that a client may send, and what may become of it."""

import os
import random
from dataclasses import dataclass

SEED = int(os.environ.get("CORPUS_SEED", "20260"))  # printed with every failure; set it to see another corpus

FINE = frozenset({200})
ANY = frozenset({200, 400, 413, 415, 422})
REFUSED = ANY - FINE


@dataclass(frozen=True)
class Case:
    """A body for a POST."""

    name: str
    body: bytes
    content_type: str
    allowed: frozenset[int] = ANY
    path: str = "/v1/embed"
    headers: tuple[tuple[str, str], ...] = ()


def rng(corpus: str) -> random.Random:
    """The randomness of one corpus, the same in every run with the same seed."""
    return random.Random(f"{SEED} {corpus}")


def flipped(body: bytes, random_: random.Random, flips: int = 1) -> bytes:
    """The body with a few bits turned over."""
    changed = bytearray(body)
    for _ in range(flips):
        changed[random_.randrange(len(changed))] ^= 1 << random_.randrange(8)
    return bytes(changed)


def mangled(body: bytes, random_: random.Random, alphabet: list[bytes]) -> bytes:
    """The body with a piece left out, put in, doubled or cut off."""
    at = random_.randrange(len(body))
    end = min(len(body), at + random_.randrange(1, 9))
    match random_.randrange(4):
        case 0:
            return body[:at] + body[end:]
        case 1:
            return body[:at] + random_.choice(alphabet) + body[at:]
        case 2:
            return body[:end] + body[at:]
        case _:
            return body[:at]
