"""The options that say how to reach a store, the same for every command; credentials come from the environment."""

import os
from pathlib import Path
from typing import Annotated, TypeAlias

import typer
from pydantic import ValidationError

from mmm_repository import AddressingStyle, StorageOptions

PANEL = "Storage (credentials: AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN)"

Endpoint: TypeAlias = Annotated[
    str | None,
    typer.Option(
        help="Address of the S3 server, like http://minio:9000. Default: AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL, AWS.",
        rich_help_panel=PANEL,
    ),
]
Region: TypeAlias = Annotated[
    str | None, typer.Option(help="Region of the bucket. Default: AWS_REGION.", rich_help_panel=PANEL)
]
Addressing: TypeAlias = Annotated[
    AddressingStyle,
    typer.Option(
        "--addressing-style",
        help="Where the bucket's name goes: into the path or before the host.",
        case_sensitive=False,
        rich_help_panel=PANEL,
    ),
]
CAFile: TypeAlias = Annotated[
    Path | None,
    typer.Option("--ca-file", help="PEM file with the CA of the server's certificate.", rich_help_panel=PANEL),
]
SkipTLSVerify: TypeAlias = Annotated[
    bool,
    typer.Option("--insecure-skip-tls-verify", help="Accept any certificate. For trials only.", rich_help_panel=PANEL),
]


def storage_options(
    endpoint: str | None,
    region: str | None,
    addressing_style: AddressingStyle,
    ca_file: Path | None,
    insecure_skip_tls_verify: bool,
) -> StorageOptions:
    """The options as given, completed from the environment; wrong ones end the program as wrong usage."""
    given: dict[str, object] = {
        "addressing_style": addressing_style,
        "ca_file": ca_file,
        "insecure_skip_tls_verify": insecure_skip_tls_verify,
        # People behind a proxy have it in their environment, and expect it to be used.
        "use_environment_proxy": True,
    }
    given |= {name: value for name, value in (("endpoint", endpoint), ("region", region)) if value}
    try:
        from_environment = StorageOptions.from_environment(os.environ)
        return StorageOptions.model_validate({**dict(from_environment), **given})
    except ValidationError as error:
        fault = error.errors(include_url=False, include_input=False, include_context=False)[0]
        raise typer.BadParameter(fault["msg"].removeprefix("Value error, ")) from None
