"""`python -m mmm_operator run | plan | simulate | crd | --version`."""

import argparse
import logging
import sys
from collections.abc import Callable, Sequence

from mmm_operator.errors import OperatorError, SettingsError
from mmm_operator.offline import arguments as plan_arguments
from mmm_operator.offline.simulation import arguments as simulation_arguments
from mmm_operator.settings import explain_settings
from mmm_operator.version import version

log = logging.getLogger(__name__)

OK, FAILURE, USAGE = 0, 1, 2


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit code: 0 after SIGTERM, 1 after a failure that a restart may heal, 2 for wrong usage.

    `plan` and `simulate` have their own.
    """
    chosen = _parser().parse_args(arguments)
    try:
        return COMMANDS[chosen.command][0](chosen)
    except SettingsError as error:
        print(error, file=sys.stderr)
        return USAGE


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="mmm-operator",
        description="Deploys and heals multimodal model servers.",
        epilog="`mmm-operator COMMAND --help` says more about a command.",
    )
    parser.add_argument("--version", action="version", version=version())
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, (_, explanation) in COMMANDS.items():
        command = commands.add_parser(name, help=explanation, description=f"{explanation[0].upper()}{explanation[1:]}.")
        if name == "plan":
            plan_arguments.add_arguments(command)
        if name == "simulate":
            simulation_arguments.add_arguments(command)
        if name == "run":
            command.formatter_class = argparse.RawDescriptionHelpFormatter
            command.epilog = f"environment:\n{explain_settings()}"
    return parser


# Each command imports what it needs itself: printing the CRD or a plan needs no cluster libraries.
def _run(_: argparse.Namespace) -> int:
    import uvloop

    from mmm_operator.runtime.logs import set_up_logs
    from mmm_operator.runtime.run import run
    from mmm_operator.settings import load_settings

    settings = load_settings()
    set_up_logs(settings.log_level)
    try:
        uvloop.run(run(settings))
    except SettingsError:
        raise
    except OperatorError as error:
        log.error("%s", error)
        return FAILURE
    except Exception:
        log.exception("the operator failed")
        return FAILURE
    return OK


def _plan(chosen: argparse.Namespace) -> int:
    from mmm_operator.offline.command import run_plan

    try:
        return run_plan(chosen)
    except OperatorError as error:
        print(error, file=sys.stderr)
        return USAGE


def _simulate(chosen: argparse.Namespace) -> int:
    from mmm_operator.offline.simulation.command import run_simulation

    try:
        return run_simulation(chosen)
    except OperatorError as error:
        print(error, file=sys.stderr)
        return USAGE


def _print_crd(_: argparse.Namespace) -> int:
    import yaml

    from mmm_operator.api.crd import crd

    print(yaml.safe_dump(crd(), sort_keys=False, allow_unicode=True, width=120), end="")
    return OK


COMMANDS: dict[str, tuple[Callable[[argparse.Namespace], int], str]] = {
    "run": (_run, "watch and reconcile; configured by MMM_OPERATOR_* in the environment"),
    "plan": (_plan, "print what the operator would do with objects in files, and why, without a cluster"),
    "simulate": (_simulate, "play a rollout in virtual time, without a cluster, and print its steps"),
    "crd": (_print_crd, "print the CustomResourceDefinition, for kubectl apply"),
}


if __name__ == "__main__":
    sys.exit(main())
