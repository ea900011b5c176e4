"""Our server with names on its threads, as the kernel shows them: `python -m … mmm_server serve …`.

The threads that OpenMP makes carry the name of the one that made them.
"""

import runpy
import sys
import threading
from pathlib import Path

LONGEST = 15


def main() -> None:
    """Run the module that the first argument names."""
    begin = threading.Thread.start

    def start(thread: threading.Thread) -> None:
        begin(thread)
        _name(thread.native_id or 0, thread.name.partition("_")[0])

    threading.Thread.start = start  # type: ignore[method-assign, assignment]
    _name(threading.get_native_id(), "event loop")
    sys.argv[:] = sys.argv[1:]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)


def _name(number: int, name: str) -> None:
    Path(f"/proc/self/task/{number}/comm").write_text(name[:LONGEST])


if __name__ == "__main__":
    main()
