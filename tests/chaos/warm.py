"""Operators that start in a tenth of the time: a process that has imported the operator forks one per order.

What runs is `mmm-operator run` in a process of its own, with its own environment, loop and threads, and it can be
killed like any other; only the second of imports is not paid again. `CHAOS_COLD=1` starts `python -m mmm_operator`
instead, from nothing.

`python -m tests.chaos.warm` is that process. It reads orders, one JSON object a line, and answers each with a line.
"""

import gc
import importlib
import json
import os
import resource
import sys
import traceback
from collections.abc import Mapping
from typing import Any

# What `run` imports late is imported here, before the first fork.
PRELOADED = ("mmm_operator.__main__", "mmm_operator.runtime.run", "mmm_operator.runtime.logs", "mmm_operator.settings")


def main() -> None:
    """Obey until the input ends."""
    for name in PRELOADED:
        importlib.import_module(name)
    gc.collect()
    gc.freeze()
    for line in sys.stdin.buffer:
        answer = obey(json.loads(line))
        sys.stdout.buffer.write(json.dumps(answer).encode() + b"\n")
        sys.stdout.buffer.flush()


def obey(order: Mapping[str, Any]) -> int:
    """`start`: the pid of a new operator. `reap`: the exit code of one that has ended or is about to."""
    if "reap" in order:
        _, status = os.waitpid(order["reap"], 0)
        return os.waitstatus_to_exitcode(status)
    pid = os.fork()
    if pid == 0:
        be_operator(order)
    return pid


def be_operator(order: Mapping[str, Any]) -> None:
    """Become the operator of this environment and log; never returns."""
    code = 70
    try:
        out = os.open(order["log"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        nothing = os.open(os.devnull, os.O_RDONLY)
        for source, target in ((nothing, 0), (out, 1), (out, 2)):
            os.dup2(source, target)
        os.closerange(3, 1024)
        os.environ.clear()
        os.environ.update(order["environment"])
        if "files" in order:
            resource.setrlimit(resource.RLIMIT_NOFILE, (order["files"], order["files"]))
        from mmm_operator.__main__ import main as operator

        code = operator(["run"])
    except BaseException:  # noqa: BLE001  (the border of a process: whatever it was, it belongs into the log)
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    main()
