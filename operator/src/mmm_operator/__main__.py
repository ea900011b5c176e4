"""`python -m mmm_operator run | crd | --version`."""

import argparse
import asyncio
import logging
import sys
from collections.abc import Sequence

from mmm_operator.errors import OperatorError, SettingsError
from mmm_operator.version import version

log = logging.getLogger(__name__)

OK, FAILURE, USAGE = 0, 1, 2


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit code: 0 after SIGTERM, 1 after a failure that a restart may heal, 2 for wrong settings."""
    command = _parser().parse_args(arguments).command
    try:
        return _print_crd() if command == "crd" else _run()
    except SettingsError as error:
        print(error, file=sys.stderr)
        return USAGE


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="mmm-operator", description="Deploys and heals multimodal model servers.")
    parser.add_argument("--version", action="version", version=version())
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    commands.add_parser("run", help="watch and reconcile; configured by MMM_OPERATOR_* in the environment")
    commands.add_parser("crd", help="print the CustomResourceDefinition, for kubectl apply")
    return parser


# Each command imports what it needs itself: printing the CRD needs no cluster libraries.
def _run() -> int:
    from mmm_operator.runtime.logs import set_up_logs
    from mmm_operator.runtime.run import run
    from mmm_operator.settings import load_settings

    settings = load_settings()
    set_up_logs(settings.log_level)
    try:
        asyncio.run(run(settings))
    except SettingsError:
        raise
    except OperatorError as error:
        log.error("%s", error)
        return FAILURE
    except Exception:
        log.exception("the operator failed")
        return FAILURE
    return OK


def _print_crd() -> int:
    import yaml

    from mmm_operator.api.crd import crd

    print(yaml.safe_dump(crd(), sort_keys=False, allow_unicode=True, width=120), end="")
    return OK


if __name__ == "__main__":
    sys.exit(main())
