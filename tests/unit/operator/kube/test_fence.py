"""The fence: no write leaves a process that may not write any more, whatever it was about to do."""

import asyncio
import math
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web
from kubernetes.aio.client import Configuration

from mmm_operator import names
from mmm_operator.errors import Conflict, Transient
from mmm_operator.kube.client import CALLS_AT_A_TIME, KubeClient, NotLeader
from mmm_operator.kube.resources import ref
from mmm_operator.snapshot import Manifest

SERVICE: Manifest = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "clip", "namespace": "default"}}
STATUS: Manifest = {
    "apiVersion": names.API_VERSION,
    "kind": names.KIND,
    "metadata": {"name": "clip", "namespace": "default"},
    "status": {},
}
EVENT: Manifest = {"apiVersion": "events.k8s.io/v1", "kind": "Event", "metadata": {"name": "e", "namespace": "default"}}
LEASE: Manifest = {
    "apiVersion": "coordination.k8s.io/v1",
    "kind": "Lease",
    "metadata": {"name": "mmm-operator", "namespace": "mmm-system"},
    "spec": {"holderIdentity": "a"},
}

Write = Callable[[KubeClient], Coroutine[Any, Any, object]]
WRITES: dict[str, Write] = {
    "create": lambda kube: kube.create(SERVICE),
    "apply": lambda kube: kube.apply(SERVICE),
    "status": lambda kube: kube.apply_status(STATUS),
    "delete": lambda kube: kube.delete(ref("Service", "default", "clip"), "uid", "7"),
    "event": lambda kube: kube.create_event(EVENT),
}


class ApiServer:
    """Answers every request after `delay` seconds with what was sent, and remembers what came."""

    def __init__(self) -> None:
        self.requests: list[str] = []
        self.agents: set[str] = set()
        self.delay = 0.0
        self.status = 200
        self.headers: dict[str, str] = {}

    async def answer(self, request: web.Request) -> web.Response:
        self.requests.append(f"{request.method} {request.path}")
        self.agents.add(request.headers["User-Agent"])
        await asyncio.sleep(self.delay)
        return web.json_response(
            {"metadata": {"resourceVersion": "7"}, "items": []}, status=self.status, headers=self.headers
        )


@asynccontextmanager
async def connected(fence: Callable[[], float] = lambda: math.inf) -> AsyncIterator[tuple[ApiServer, KubeClient]]:
    """A client and the server that it speaks to."""
    server = ApiServer()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", server.answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    try:
        async with KubeClient(Configuration(host=f"http://{host}:{port}"), 5.0, fence=fence, identity="a_1") as kube:
            yield server, kube
    finally:
        await runner.cleanup()


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES.keys())
async def test_no_write_is_sent_without_the_lease(write: Write) -> None:
    async with connected(fence=lambda: 0.0) as (server, kube):
        with pytest.raises(NotLeader, match="not the leader"):
            await write(kube)
        assert server.requests == []


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES.keys())
async def test_a_write_is_stopped_at_the_socket_when_the_lease_ran_out_on_the_way(write: Write) -> None:
    looks = iter((10.0, 0.0))
    async with connected(fence=lambda: next(looks)) as (server, kube):
        with pytest.raises(NotLeader, match="not the leader any more"):
            await write(kube)
        await asyncio.sleep(0.05)
        assert server.requests == []


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES.keys())
async def test_with_the_lease_every_write_is_sent(write: Write) -> None:
    async with connected() as (server, kube):
        await write(kube)
        assert len(server.requests) == 1


async def test_the_fence_is_asked_after_the_wait_for_a_turn() -> None:
    held = True
    async with connected(fence=lambda: 10.0 * held) as (server, kube):
        server.delay = 0.2
        reads = [asyncio.create_task(kube.list("Pod", "default")) for _ in range(CALLS_AT_A_TIME)]
        await asyncio.sleep(0.1)
        write = asyncio.create_task(kube.apply(SERVICE))
        await asyncio.sleep(0.05)
        held = False
        with pytest.raises(NotLeader):
            await write
        await asyncio.gather(*reads)
        assert not any(request.startswith("PATCH") for request in server.requests)


async def test_a_standby_reads_and_contends_for_the_lease() -> None:
    async with connected(fence=lambda: 0.0) as (server, kube):
        await kube.list("Pod", "default")
        await kube.read_lease("mmm-system", "mmm-operator")
        await kube.write_lease(LEASE)
        await kube.write_lease({**LEASE, "metadata": {**LEASE["metadata"], "resourceVersion": "7"}})
        path = "/apis/coordination.k8s.io/v1/namespaces/mmm-system/leases"
        assert server.requests[1:] == [f"GET {path}/mmm-operator", f"POST {path}", f"PUT {path}/mmm-operator"]


async def test_a_model_that_is_named_like_the_leases_is_fenced_as_well() -> None:
    looks = iter((10.0, 0.0))
    named = {**STATUS, "metadata": {"name": "coordination.k8s.io", "namespace": "leases"}}
    async with connected(fence=lambda: next(looks)) as (server, kube):
        with pytest.raises(NotLeader):
            await kube.apply_status(named)
        assert server.requests == []


async def test_a_write_waits_for_its_answer_no_longer_than_the_lease_lasts() -> None:
    async with connected(fence=lambda: 0.2) as (server, kube):
        server.delay = 2.0
        with pytest.raises(Transient, match="no answer from the API server"):
            async with asyncio.timeout(1.5):
                await kube.apply(SERVICE)


async def test_the_lease_is_renewed_while_all_other_calls_hang() -> None:
    async with connected() as (server, kube):
        server.delay = 3.0
        calls = [asyncio.create_task(kube.list("Pod", "default")) for _ in range(3 * CALLS_AT_A_TIME)]
        await asyncio.sleep(0.2)
        assert len(server.requests) == CALLS_AT_A_TIME
        server.delay = 0.0
        async with asyncio.timeout(1.0):
            await kube.write_lease(LEASE)
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)


async def test_a_lease_that_changed_meanwhile_is_a_conflict() -> None:
    async with connected() as (server, kube):
        server.status = 409
        with pytest.raises(Conflict):
            await kube.write_lease(LEASE)


async def test_one_429_holds_back_the_calls_of_everybody() -> None:
    async with connected() as (server, kube):
        server.status, server.headers = 429, {"Retry-After": "1"}
        with pytest.raises(Transient) as refused:
            await kube.apply(SERVICE)
        assert refused.value.retry_after == 1
        server.status, server.headers = 200, {}
        begin = asyncio.get_running_loop().time()
        await kube.list("Pod", "elsewhere")
        assert asyncio.get_running_loop().time() - begin >= 1.0


async def test_the_audit_log_can_tell_replicas_apart() -> None:
    async with connected() as (server, kube):
        await kube.list("Pod", "default")
        (agent,) = server.agents
        assert agent.startswith("mmm-operator/")
        assert agent.endswith(" a_1")
