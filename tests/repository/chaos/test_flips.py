"""A thousand random bits, changed on the way from two servers or in a cache: every one is noticed."""

import asyncio
import random
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from mmm_repository import DigestMismatch, FetchOptions
from tests.chaos.size import SEED, sized
from tests.repository.chaos.ground import Ground, looks_whole
from tests.repository.chaos.proxy import Answer, FaultProxy
from tests.repository.chaos.report import record
from tests.repository.samples import contents_of

ON_THE_WAY, IN_A_CACHE = sized(10, 400), sized(5, 100)
NOWHERE = "http://localhost:9"
REHASHED = FetchOptions(attempts=1, rehash_existing=True)


def flipped(content: bytes, source: random.Random) -> bytes:
    """The content with one random bit changed."""
    offset = source.randrange(len(content))
    return content[:offset] + bytes([content[offset] ^ 1 << source.randrange(8)]) + content[offset + 1 :]


async def recorded(ground: Ground, root: Path) -> dict[bytes, Answer]:
    """Every answer that a whole fetch takes."""
    async with FaultProxy(ground.store.endpoint, ground.recorded, None, NOWHERE) as proxy:
        await ground.fetch(root, ground.store.options(proxy.endpoint))
    return ground.recorded


@pytest.mark.parametrize("seed", [SEED])
async def test_a_bit_that_changes_on_its_way_is_noticed(ground: Ground, tmp_path: Path, seed: int) -> None:
    answers = await recorded(ground, tmp_path / "first")
    asked = [key for key, answer in answers.items() if answer.body]
    source, missed = random.Random(seed), []
    for number in range(ON_THE_WAY):
        (key,) = source.choices(asked, weights=[len(answers[key].body) for key in asked])
        # Small answers get their share, too: a bit of the manifest counts as much as one of the weights.
        key = key if number % 2 else source.choice(asked)
        wrong = {**answers, key: replace(answers[key], body=flipped(answers[key].body, source))}
        root = tmp_path / f"root-{number}"
        async with FaultProxy(ground.store.endpoint, wrong, None, NOWHERE) as proxy:
            failure = await asyncio.gather(
                ground.fetch(root, ground.store.options(proxy.endpoint)), return_exceptions=True
            )
        caught = isinstance(failure[0], DigestMismatch) and not looks_whole(root)
        what = "" if caught else f"{failure[0]!r} for {key!r}"
        record(f"bits on their way, {ground.store.name}", str(number), what, seed)
        missed += [what] if what else []
        shutil.rmtree(root)
    assert missed == []


@pytest.mark.parametrize("seed", [SEED])
async def test_a_bit_that_changes_in_a_cache_is_noticed_and_healed(ground: Ground, tmp_path: Path, seed: int) -> None:
    root, source = tmp_path / "root", random.Random(seed)
    answers = await recorded(ground, root)
    good, missed = contents_of(root / ground.hex), []
    async with FaultProxy(ground.store.endpoint, answers, None, NOWHERE) as proxy:
        for number in range(IN_A_CACHE):
            # The mark is no content of the version: what is in it means nothing.
            files = [root / ground.hex / path for path in sorted(good) if path not in (".complete", "empty.txt")]
            victim = source.choice(files)
            victim.write_bytes(flipped(victim.read_bytes(), source))
            await ground.fetch(root, ground.store.options(proxy.endpoint), REHASHED)
            healed = contents_of(root / ground.hex) == good
            record(f"bits in a cache, {ground.store.name}", str(number), "" if healed else str(victim), seed)
            missed += [] if healed else [victim]
    assert missed == []
