"""What the kubelet and Prometheus are told."""

from dataclasses import dataclass

import aiohttp
import pytest

from dev.localcluster.layout import free_ports
from mmm_operator.runtime.health import HealthServer
from mmm_operator.runtime.metrics import Metrics


@dataclass
class State:
    """What the rest of the process would say of itself."""

    trouble: str = ""
    ready: bool = True
    leading: bool = True


async def answer(path: str, state: State, metrics: Metrics | None = None) -> tuple[int, str]:
    """Status code and text of one page."""
    (port,) = free_ports(1)
    server = HealthServer(port, metrics or Metrics(), lambda: state.trouble, lambda: state.ready, lambda: state.leading)
    async with server, aiohttp.ClientSession() as client, client.get(f"http://127.0.0.1:{port}{path}") as found:
        return found.status, await found.text()


@pytest.mark.parametrize(
    ("path", "state", "status", "text"),
    [
        ("/healthz", State(), 200, "ok\n"),
        ("/healthz", State(trouble="the watches did not move for 70 s"), 503, "the watches did not move for 70 s\n"),
        ("/healthz", State(ready=False, leading=False), 200, "ok\n"),
        ("/readyz", State(), 200, "ok\n"),
        ("/readyz", State(leading=False), 200, "standby\n"),
        ("/readyz", State(ready=False), 503, "the objects have not been listed yet\n"),
        ("/readyz", State(ready=False, leading=False), 503, "the objects have not been listed yet\n"),
    ],
)
async def test_the_probes_say_how_it_is(path: str, state: State, status: int, text: str) -> None:
    assert await answer(path, state) == (status, text)


@pytest.mark.parametrize("held", [True, False])
async def test_the_metrics_say_who_leads(held: bool) -> None:
    metrics = Metrics()
    metrics.leader.set_function(lambda: float(held))
    status, page = await answer("/metrics", State(), metrics)
    assert status == 200
    assert f"mmm_operator_leader {float(held)}\n" in page
