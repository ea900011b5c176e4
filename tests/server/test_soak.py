"""Mixed requests for a while: memory and descriptors stay where they were. MMM_SOAK says how many."""

import os

from tests.server.corpora.case import rng
from tests.server.corpora.documents import json_cases
from tests.server.corpora.forms import form_cases
from tests.server.corpora.images import image_cases
from tests.server.corpora.judge import MEBIBYTE, Judge
from tests.server.corpora.protocols import protocol_cases

REQUESTS = int(os.environ.get("MMM_SOAK", "2000"))
MAX_GROWTH = 64 * MEBIBYTE


def test_mixed_requests_leave_nothing_behind(judge: Judge) -> None:
    pool = [*image_cases(), *json_cases(), *form_cases(), *protocol_cases()]
    random_ = rng("soak")
    judge.send(random_.choices(pool, k=min(REQUESTS, 3000)))  # until the allocators have seen every size
    memory = judge.memory()
    with judge.trial("soak"):
        judge.send(random_.choices(pool, k=REQUESTS))
    assert judge.memory() - memory < MAX_GROWTH
