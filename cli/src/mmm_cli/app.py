"""The commands of `mmm`."""

import typer

from mmm_cli.init import init_command
from mmm_cli.publish import publish_command
from mmm_cli.pull import pull_command
from mmm_cli.validate import validate_command
from mmm_cli.verify import verify_command
from mmm_cli.versions import versions_command

app = typer.Typer(
    name="mmm",
    help="Publish, verify and fetch versions of models for the multimodal operator, and check what it is told.",
    epilog="Exit codes: 0 done, 1 failed, 2 wrong usage.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
app.command("publish")(publish_command)
app.command("versions")(versions_command)
app.command("verify")(verify_command)
app.command("pull")(pull_command)
app.command("init")(init_command)
app.command("validate")(validate_command)


@app.callback()
def mmm() -> None:
    """Publish, verify and fetch versions of models for the multimodal operator, and check what it is told."""
