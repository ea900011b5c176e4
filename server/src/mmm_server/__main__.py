"""The command line of the server image: `serve` (what a pod runs) and `fetch` (what its init container runs)."""

import argparse
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from mmm_server.cpus import set_thread_environment
from mmm_server.errors import Fatal, InternalError
from mmm_server.logs import set_up_logs
from mmm_server.settings import TUNABLE, Settings, load_settings, tuned
from mmm_server.termination import write_termination


def main() -> NoReturn:
    """Ends the process with 0 fine, 1 a retry may help, 2 wrong usage, 3 a human must act."""
    code = _run(sys.argv[1:])
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    # Not sys.exit(): a thread that sits in the model's native code would be torn down under its feet.
    os._exit(code)


def _run(arguments: Sequence[str]) -> int:
    options = _parse(arguments)
    set_up_logs(os.environ.get("MMM_LOG_LEVEL", "").upper() or "INFO")
    if options.command == "fetch":
        return _fetch(follow=options.follow)
    try:
        return _serve(options)
    except Fatal as fatal:
        return _end(fatal)
    except Exception:
        logging.getLogger(__name__).critical("unhandled", exc_info=True)
        return _end(InternalError("The server failed; its log says why."))


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="mmm-server", description="Serve a model version, or fetch it.")
    parser.add_argument("--version", action="version", version=_version())
    commands = parser.add_subparsers(dest="command", required=True, metavar="{serve,fetch}")
    serve = commands.add_parser("serve", help="answer requests (settings: MMM_* variables)")
    serve.add_argument("--model", type=Path, metavar="DIR", help="a model directory, instead of MMM_MODEL_DIGEST")
    serve.add_argument("--port", type=int, help="instead of MMM_HTTP_PORT")
    serve.add_argument("--operations-port", type=int, help="instead of MMM_OPERATIONS_PORT")
    names = ", ".join(TUNABLE)
    serve.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", help=f"instead of the variable MMM_NAME: {names}"
    )
    fetch = commands.add_parser("fetch", help="bring the model version to MMM_MODEL_ROOT")
    fetch.add_argument("--follow", action="store_true", help="stay, and bring every version that becomes wanted")
    return parser.parse_args(arguments)


def _fetch(*, follow: bool) -> int:
    from mmm_server.fetch import run_fetch
    from mmm_server.follow import follow_wanted

    return run_fetch(follow_wanted if follow else None)


def _serve(options: argparse.Namespace) -> int:
    asked = {"model_dir": options.model, "http_port": options.port, "operations_port": options.operations_port}
    given = {name: value for name, value in asked.items() if value is not None}
    settings = load_settings(**tuned(options.set), **given)
    set_up_logs(settings.log_level)
    threads = set_thread_environment()
    from mmm_server.http.serve import run  # after the environment is set: what it imports reads it

    return run(settings, threads)


def _end(fatal: Fatal) -> int:
    path = os.environ.get("MMM_TERMINATION_LOG") or Settings.model_fields["termination_log"].default
    write_termination(Path(path), fatal)
    return fatal.exit_code


def _version() -> str:
    from importlib.metadata import version

    return version("multimodal-operator")


if __name__ == "__main__":
    main()
