"""The commands of `mmm`."""

import typer

from mmm_cli.publish import publish_command
from mmm_cli.validate import validate_command
from mmm_cli.verify import verify_command
from mmm_cli.versions import versions_command

app = typer.Typer(
    name="mmm",
    help="Publish, inspect and verify versions of models for the multimodal operator.",
    epilog="Exit codes: 0 done, 1 failed, 2 wrong usage.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
app.command("publish")(publish_command)
app.command("versions")(versions_command)
app.command("verify")(verify_command)
app.command("validate")(validate_command)


@app.callback()
def mmm() -> None:
    """Publish, inspect and verify versions of models for the multimodal operator."""
