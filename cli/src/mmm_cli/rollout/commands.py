"""The commands of `mmm rollout`."""

import asyncio
import time
from collections.abc import Callable, Coroutine
from datetime import datetime
from typing import Annotated, Any, TypeAlias, TypeVar

import typer
from pydantic import ValidationError

from mmm_cli.failures import FAILED, Failure, explained_failures
from mmm_cli.kube import Access, Cluster, Conflict, Context, Kubeconfig, Manifest, Namespace, Unreachable, connect
from mmm_cli.output import Output, OutputFormat, remarks, show_document, show_facts, show_table
from mmm_cli.rollout.change import Change, pause, promote, undo
from mmm_cli.rollout.view import facts_of, is_over, news_of, rows_of
from mmm_operator.api.v1alpha1 import MultimodalModel

LOOK_EVERY_SECONDS = 1.0
# A rollout may take an hour: an API server that is away for a moment does not end the watch.
PATIENCE_SECONDS = 30.0

Result = TypeVar("Result")
Name: TypeAlias = Annotated[str, typer.Argument(metavar="NAME", help="Name of the MultimodalModel.")]

rollout_app = typer.Typer(
    name="rollout",
    help="Follow, stop, promote and undo the rollout of a MultimodalModel.",
    short_help="Follow, stop, promote and undo rollouts.",
    no_args_is_help=True,
)


def status_command(  # noqa: PLR0913  the options of a command are its arguments
    name: Name,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Follow until it serves or has failed.")] = False,
    timeout: Annotated[float | None, typer.Option(min=0, metavar="SECONDS", help="Give up watching then.")] = None,
    output: Output = OutputFormat.TABLE,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Say what serves, what shall, how far that is, what it waits for and what has failed.

    With --watch each change is one line on standard error, and the exit code is 0 once what was asked for serves, and 1
    when that has failed, was rolled back, or the time is over.
    """
    access = Access(namespace, context, kubeconfig)
    mmm, over = _run(_follow(access, name, timeout) if watch else _look(access, name))
    if output is OutputFormat.TABLE:
        show_facts(facts_of(mmm))
    else:
        names = {"namespace": mmm.metadata.namespace, "name": mmm.metadata.name}
        show_document({**names, "over": over is not None, "status": mmm.status.to_json()}, output)
    if watch and over is not True:
        raise typer.Exit(FAILED)


def history_command(
    name: Name,
    output: Output = OutputFormat.TABLE,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """List the revisions that are there, newest first; those with 0 pods are kept for going back."""
    mmm, _ = _run(_look(Access(namespace, context, kubeconfig), name))
    if output is OutputFormat.TABLE:
        show_table(("REVISION", "VERSION", "DIGEST", "STATE", "READY", "CREATED"), rows_of(mmm))
    else:
        show_document([item.to_json() for item in mmm.status.revisions], output)


def undo_command(
    name: Name,
    to_revision: Annotated[
        str | None, typer.Option(metavar="REVISION", help="Go back to the version of this revision, see history.")
    ] = None,
    to_version: Annotated[str | None, typer.Option(metavar="VERSION", help="Go back to this version.")] = None,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Go back to an earlier version: while a rollout is under way to the one that serves, else to the one before.

    Only spec.model.version is written, and the digest where one is pinned.
    """
    if to_revision and to_version:
        raise typer.BadParameter("write --to-revision or --to-version, not both")
    _change(name, Access(namespace, context, kubeconfig), lambda mmm: undo(mmm, to_revision, to_version))


def promote_command(
    name: Name, namespace: Namespace = None, context: Context = None, kubeconfig: Kubeconfig = None
) -> None:
    """Let the new revision go on without waiting: over a canary's pause, or a blue-green switch by hand."""
    _change(name, Access(namespace, context, kubeconfig), promote)


def pause_command(
    name: Name, namespace: Namespace = None, context: Context = None, kubeconfig: Kubeconfig = None
) -> None:
    """Let the rollout stand still; what serves is healed and resized all the same."""
    _change(name, Access(namespace, context, kubeconfig), lambda mmm: pause(mmm, True))


def resume_command(
    name: Name, namespace: Namespace = None, context: Context = None, kubeconfig: Kubeconfig = None
) -> None:
    """Let a paused rollout go on."""
    _change(name, Access(namespace, context, kubeconfig), lambda mmm: pause(mmm, False))


COMMANDS: tuple[tuple[str, Callable[..., None], str], ...] = (
    ("status", status_command, "Say how far a rollout is."),
    ("history", history_command, "List the revisions of a model."),
    ("undo", undo_command, "Go back to an earlier version."),
    ("promote", promote_command, "Let the new revision go on without waiting."),
    ("pause", pause_command, "Let the rollout stand still."),
    ("resume", resume_command, "Let a paused rollout go on."),
)
for _name, _function, _summary in COMMANDS:
    rollout_app.command(_name, short_help=_summary)(_function)


def _run(work: Coroutine[Any, Any, Result]) -> Result:
    with explained_failures():
        return asyncio.run(work)


async def _look(access: Access, name: str) -> tuple[MultimodalModel, bool | None]:
    async with connect(access) as cluster:
        mmm = model_of(await cluster.get(name))
        return mmm, is_over(mmm)


async def _follow(access: Access, name: str, timeout: float | None) -> tuple[MultimodalModel, bool | None]:
    """The object once its rollout is over, or the time; each change on the way is told."""
    said, end = "", None if timeout is None else time.monotonic() + timeout
    async with connect(access) as cluster:
        while True:
            mmm = model_of(await _patiently(cluster, name))
            if (news := news_of(mmm)) != said:
                remarks.print(f"{datetime.now().astimezone():%H:%M:%S}  {news}", markup=False)
                said = news
            over = is_over(mmm)
            if over is not None or (end is not None and time.monotonic() >= end):
                return mmm, over
            await asyncio.sleep(LOOK_EVERY_SECONDS)


async def _patiently(cluster: Cluster, name: str) -> Manifest:
    end = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            return await cluster.get(name)
        except Unreachable:
            if time.monotonic() >= end:
                raise
        await asyncio.sleep(LOOK_EVERY_SECONDS)


def _change(name: str, access: Access, decide: Callable[[MultimodalModel], Change]) -> None:
    change = _run(write(access, name, decide))
    typer.echo(f"{name} {change.said}")
    if "model" in change.spec:
        remarks.print("Write the version into your file too: who applies that next brings the other one back.")


async def write(access: Access, name: str, decide: Callable[[MultimodalModel], Change]) -> Change:
    """The change that was made; of an object that changes under our hands, what it is then decides, once more."""
    async with connect(access) as cluster:
        try:
            return await _write_once(cluster, name, decide)
        except Conflict:
            return await _write_once(cluster, name, decide)


async def _write_once(cluster: Cluster, name: str, decide: Callable[[MultimodalModel], Change]) -> Change:
    mmm = model_of(await cluster.get(name))
    change = decide(mmm)
    if change.spec:
        await cluster.patch(name, {"spec": change.spec}, mmm.metadata.resource_version)
    return change


def model_of(raw: Manifest) -> MultimodalModel:
    """The object; raises Failure when this version of the command line does not understand it."""
    try:
        return MultimodalModel.model_validate(raw)
    except ValidationError as error:
        field = ".".join(map(str, error.errors(include_url=False)[0]["loc"]))
        message = f"{field} is not as this mmm knows it: update mmm to the version of the operator"
        raise Failure("NotUnderstood", message) from None
