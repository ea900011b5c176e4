"""The cluster that the person's kubeconfig names: read a MultimodalModel, and change it as it was read."""

import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

import typer

from mmm_cli.failures import Failure
from mmm_operator import names

if TYPE_CHECKING:
    from kubernetes.aio.client import ApiClient, Configuration

FIELD_MANAGER = "mmm"
TIMEOUT_SECONDS = 20.0
MERGE = "application/merge-patch+json"
SERVICE_HOST = "KUBERNETES_SERVICE_HOST"
NOWHERE = "no cluster to talk to: set KUBECONFIG, or name a file with --kubeconfig and a context with --context"

Manifest: TypeAlias = dict[str, Any]
Namespace: TypeAlias = Annotated[
    str | None, typer.Option("--namespace", "-n", help="Namespace of the object. Default: that of the context.")
]
Context: TypeAlias = Annotated[str | None, typer.Option(help="Context of the kubeconfig. Default: the current one.")]
Kubeconfig: TypeAlias = Annotated[
    Path | None,
    typer.Option(exists=True, dir_okay=False, help="The kubeconfig. Default: KUBECONFIG, or ~/.kube/config."),
]


@dataclass(frozen=True, slots=True)
class Access:
    """Which cluster and which namespace, as the options say; None where they do not."""

    namespace: str | None = None
    context: str | None = None
    kubeconfig: Path | None = None


class Unreachable(Failure):
    """Nobody answered; the next try may be luckier."""


class Conflict(Failure):
    """The object is not any more what it was when it was read."""


@dataclass(frozen=True, slots=True)
class Cluster:
    """An open connection, with the namespace in which names are looked up."""

    client: "ApiClient"
    namespace: str

    async def get(self, name: str) -> Manifest:
        """The MultimodalModel of this name; raises Failure when there is none, or it may not be read."""
        return await self._send("GET", name, None)

    async def patch(self, name: str, change: Manifest, version: str) -> Manifest:
        """The MultimodalModel with the change in it; raises Conflict when it is not in this version any more."""
        return await self._send("PATCH", name, {**change, "metadata": {"resourceVersion": version}})

    async def _send(self, method: str, name: str, body: Manifest | None) -> Manifest:
        import aiohttp

        path = f"/apis/{names.API_VERSION}/namespaces/{self.namespace}/{names.PLURAL}/{name}"
        headers = {"Accept": "application/json", "Content-Type": MERGE}
        try:
            # Only the address and the authorization are the generated client's work.
            sent, url, headers, _, _ = await self.client.param_serialize(
                method, path, header_params=headers, auth_settings=["BearerToken"]
            )
            url += f"?fieldManager={FIELD_MANAGER}&fieldValidation=Strict" if body else ""
            answer = await self.client.call_api(sent, url, headers, body, _request_timeout=TIMEOUT_SECONDS)
            status, text = answer.status, await answer.read()
        except (aiohttp.ClientError, TimeoutError, OSError):
            message = f"the API server at {self.client.configuration.host} does not answer: is the cluster up?"
            raise Unreachable("NoCluster", message) from None
        if status >= 400:
            raise refusal(status, text, f"{self.namespace}/{name}")
        found: Manifest = json.loads(text)
        return found


@asynccontextmanager
async def connect(access: Access) -> AsyncIterator[Cluster]:
    """The cluster; raises Failure when there is none to be found."""
    # Here, as it takes half a second, for which no other command should wait.
    try:
        from kubernetes.aio.client import ApiClient, Configuration
    except ImportError:
        raise Failure(
            "NotInstalled", "this needs the package kubernetes: pip install multimodal-operator[cli]"
        ) from None
    configuration = Configuration()
    namespace = await _configure(configuration, access)
    async with ApiClient(configuration) as client:
        yield Cluster(client, access.namespace or namespace)


def refusal(status: int, text: bytes, name: str) -> Failure:
    """What an answer of the API server that is no success means, in words."""
    said = _status_of(text)
    message = str(said.get("message") or f"the API server answers {status}")
    if status == 404 and not (said.get("details") or {}).get("name"):
        return Failure(
            "NotInstalled", f"the cluster knows no {names.PLURAL}: install the operator, or choose a --context"
        )
    if status == 404:
        return Failure(
            "NotFound", f"there is no {names.KIND} {name}: choose another --namespace, or see kubectl get mmm -A"
        )
    if status == 401:
        return Failure("Unauthorized", "the cluster does not know you: log in again, or choose another --context")
    if status == 403:
        return Failure("Forbidden", message)
    if status == 409:
        return Conflict("Conflict", f"somebody else changes {name} at the same time: run it again")
    if status == 429 or status >= 500:
        return Unreachable("NoAnswer", f"the API server cannot answer now: {message}")
    return Failure("Refused", message)


def _status_of(text: bytes) -> Manifest:
    # A proxy in between may answer with a page instead of a Status object.
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


async def _configure(configuration: "Configuration", access: Access) -> str:
    """Fills the configuration in; the namespace that the context is about."""
    from kubernetes.aio import config

    files = str(access.kubeconfig or os.environ.get("KUBECONFIG") or "~/.kube/config")
    there = any(Path(part).expanduser().is_file() for part in files.split(os.pathsep))  # noqa: ASYNC240  nothing else runs
    try:
        if there:
            loader = await config.load_kube_config(files, access.context, configuration)
            return str(loader.current_context["context"].get("namespace") or "default")
        if SERVICE_HOST in os.environ and not access.context:
            config.load_incluster_config(client_configuration=configuration)
            return _own_namespace()
    except Exception as error:  # a kubeconfig can be wrong in every way that YAML, base64 and files can
        raise Failure("NoCluster", f"{NOWHERE} ({error})") from error
    raise Failure("NoCluster", f"{NOWHERE} (there is no {files})")


def _own_namespace() -> str:
    """The namespace of the pod in which this runs."""
    return Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace").read_text()
