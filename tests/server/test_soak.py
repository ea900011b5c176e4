"""Mixed requests for a while: memory and descriptors stay where they were. MMM_SOAK says how many."""

import os
import time
from pathlib import Path

from tests.server.corpora.case import rng
from tests.server.corpora.documents import json_cases
from tests.server.corpora.forms import form_cases
from tests.server.corpora.images import image_cases
from tests.server.corpora.judge import MEBIBYTE, Judge
from tests.server.corpora.protocols import protocol_cases

REQUESTS = int(os.environ.get("MMM_SOAK", "2000"))
WARM_UP = 10_000
# The allocator gives every thread a heap of its own, and these fill slowly: with two of them (MALLOC_ARENA_MAX=2)
# memory is flat to 2 MiB from 8,000 requests on. A leak of one small picture per request would be over this soon.
MAX_GROWTH = 96 * MEBIBYTE
IDLE_SECONDS = 3.0
IDLE_SHARE = 0.05  # 0.3 % was measured; the clock of the kernel counts in steps of 10 ms


def test_mixed_requests_leave_nothing_behind(judge: Judge) -> None:
    pool = [*image_cases(), *json_cases(), *form_cases(), *protocol_cases()]
    random_ = rng("soak")
    judge.send(random_.choices(pool, k=min(REQUESTS, WARM_UP)))  # until the allocators have seen every size
    memory = judge.memory()
    with judge.trial("soak"):
        judge.send(random_.choices(pool, k=REQUESTS))
    assert judge.memory() - memory < MAX_GROWTH


def cpu_seconds(judge: Judge) -> float:
    fields = Path(f"/proc/{judge.server.child.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_a_server_without_requests_rests(judge: Judge) -> None:
    judge.assert_rested()
    used = cpu_seconds(judge)
    time.sleep(IDLE_SECONDS)
    assert cpu_seconds(judge) - used < IDLE_SHARE * IDLE_SECONDS
