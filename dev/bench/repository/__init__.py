"""How fast models are published and fetched, next to what other clients reach against the same server.

One S3 server (versitygw over a directory) on this machine holds a model of so many megabytes, cut into 1, 100 and
10,000 files. For each number of files the contenders take turns, each in a process of its own, for a few rounds:

1. *mmm*: `publish` and `fetch` as people use them: everything hashed, checked, put on disk and given its name at last.
2. *boto3*: its managed transfer with its defaults, all files handed to one transfer manager, as `aws s3 cp` does it.
3. *plain*: obstore alone with as many requests at once and as large parts; ranged reads straight into files, uploads
   straight from files, nothing hashed, checked or put on disk.

Time runs inside the process, from the client's making to the last byte; imports do not count. Memory is the kernel's
high-water mark for the whole process. Ratios compare medians over the rounds, in which the order is turned each time.
A complete cache is then looked at again by `fetch`: by sizes, without a request.

Before all that the operator's follower looks at so many prefixes of one small version each, for a minute.
"""

from pathlib import Path
from tempfile import TemporaryDirectory

from dev.bench.report import Figure
from dev.bench.repository.figures import figures
from dev.bench.repository.run import measure_all


def measure(seconds: float) -> dict[str, Figure]:
    """The part that `make bench` runs: a small model in one file and in a hundred, as many rounds as seconds allow."""
    with TemporaryDirectory() as directory:
        found = measure_all(Path(directory), megabytes=64, numbers=[1, 100], rounds=max(1, round(seconds / 5)))
        return {name: figure for outcome in found for name, figure in figures(outcome).items()}
