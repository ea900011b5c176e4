"""The commands of `mmm`."""

from collections.abc import Callable

import typer

from mmm_cli.init import init_command
from mmm_cli.publish import publish_command
from mmm_cli.pull import pull_command
from mmm_cli.rollout.commands import rollout_app
from mmm_cli.validate import validate_command
from mmm_cli.verify import verify_command
from mmm_cli.versions import versions_command

app = typer.Typer(
    name="mmm",
    help="Publish and fetch versions of models for the multimodal operator, check objects, and follow rollouts.",
    epilog="Exit codes: 0 done, 1 failed, 2 wrong usage.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
COMMANDS: tuple[tuple[str, Callable[..., None], str], ...] = (
    ("publish", publish_command, "Make a directory a new version."),
    ("versions", versions_command, "List the versions of a model."),
    ("verify", verify_command, "Compare every byte of a version or directory with its manifest."),
    ("pull", pull_command, "Bring a version to this machine."),
    ("init", init_command, "Write a first MultimodalModel for a model."),
    ("validate", validate_command, "Check MultimodalModels without a cluster."),
)
for name, function, summary in COMMANDS:
    app.command(name, short_help=summary)(function)
app.add_typer(rollout_app)


@app.callback()
def mmm() -> None:
    """Publish and fetch versions of models for the multimodal operator, check objects, and follow rollouts."""
