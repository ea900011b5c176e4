"""The whole operator, put together."""

import asyncio
import logging
import signal
from collections.abc import Coroutine
from typing import Any

from mmm_operator.kube.client import KubeClient
from mmm_operator.kube.execute import Executor
from mmm_operator.kube.observe import Observer, Pages
from mmm_operator.kube.store import Store
from mmm_operator.planner import plan
from mmm_operator.runtime.controller import Controller
from mmm_operator.runtime.feed import Feed
from mmm_operator.runtime.health import HealthServer
from mmm_operator.runtime.lease import ALONE, Alone, Lease, new_identity
from mmm_operator.runtime.metrics import Metrics
from mmm_operator.runtime.reconcile import Reconciler
from mmm_operator.runtime.supervisor import Supervisor
from mmm_operator.scrape.fetches import FetchPages
from mmm_operator.scrape.status import StatusPages
from mmm_operator.scrape.traffic import TrafficPages
from mmm_operator.settings import Settings
from mmm_operator.snapshot import Key
from mmm_operator.sources.access import Access
from mmm_operator.sources.endpoints import Endpoints
from mmm_operator.sources.follower import Follower
from mmm_operator.sources.repositories import Repositories
from mmm_operator.sources.resolver import Resolver
from mmm_operator.version import version

log = logging.getLogger(__name__)


async def run(settings: Settings) -> None:
    """Watch and reconcile until SIGTERM or SIGINT; then nothing is left to tidy up, for all state is in the cluster."""
    metrics, identity = Metrics(), new_identity()

    def fence() -> float:
        return lease.time_left()

    async with await KubeClient.connect(settings.request_timeout_seconds, metrics.wrote, fence, identity) as kube:
        lease = _lease(settings, kube, identity)
        metrics.leader.set_function(lambda: float(lease.held()))
        await _run(settings, metrics, kube, lease)


def _lease(settings: Settings, kube: KubeClient, identity: str) -> Lease | Alone:
    if not settings.lease_namespace:
        return ALONE
    return Lease(kube, settings.lease_namespace, settings.lease_name, identity)


async def _run(settings: Settings, metrics: Metrics, kube: KubeClient, lease: Lease | Alone) -> None:
    def wake(key: Key) -> None:
        reconcile.stir(key)
        controller.queue.add(key)

    store, pages, access = Store(), StatusPages(wake), Access(kube.read, Endpoints(settings.allowed_endpoints))
    sources = Repositories(Resolver(access, wake, settings), Follower(access, wake, settings, leads=lease.held))
    progress, answers = FetchPages(), TrafficPages()
    observer, executor = Observer(store, kube, sources, Pages(pages, progress, answers)), Executor(kube, store)
    reconcile = Reconciler(store, observer, executor, plan, settings)
    controller = Controller(reconcile, settings, metrics, path=lambda arrive: supervisor.ping(arrive))
    feed = Feed(store, kube, controller.notice, settings, metrics)
    supervisor = Supervisor(feed, kube.connection, settings, metrics)
    health = HealthServer(settings.http_port, metrics, controller.trouble, lambda: supervisor.ready, lease.held)
    try:
        async with health:
            log.info("operator %s watches %s", version(), _scope(settings))
            await _until_told(controller.run(lease.lead), supervisor.run(), feed.run())
    finally:
        await sources.close()
        await pages.close()
        await progress.close()
        await answers.close()
    log.info("operator stopped")


async def _until_told(*parts: Coroutine[Any, Any, None]) -> None:
    """Run the parts until a signal asks for the end; raises when a part fails before."""
    told = asyncio.Event()
    for wish in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(wish, told.set)
    wait = asyncio.create_task(told.wait())
    tasks = [asyncio.create_task(part) for part in parts]
    done, _ = await asyncio.wait({wait, *tasks}, return_when=asyncio.FIRST_COMPLETED)
    for task in (wait, *tasks):
        task.cancel()
    await asyncio.gather(wait, *tasks, return_exceptions=True)
    for task in done - {wait}:
        task.result()


def _scope(settings: Settings) -> str:
    return f"namespaces {', '.join(settings.namespaces)}" if settings.namespaces else "all namespaces"
