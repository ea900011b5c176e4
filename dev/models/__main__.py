"""`python -m dev.models train|heldout`: make the tiny models, or pictures to send to them."""

import argparse
import os
from pathlib import Path

# Before torch is imported: its idle threads would spin, which costs most beside a busy neighbour.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")


def main() -> None:
    """Run the command that the arguments name."""
    parser = argparse.ArgumentParser(prog="python -m dev.models", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    train = commands.add_parser("train", help="train clip/1 and clip/2")
    train.add_argument("--out", type=Path, required=True)
    train.add_argument("--seed", type=int, default=7)
    heldout = commands.add_parser("heldout", help="write labelled JPEGs that training never saw")
    heldout.add_argument("--out", type=Path, required=True)
    heldout.add_argument("-n", type=int, default=60)
    arguments = parser.parse_args()
    if arguments.command == "train":
        _train(arguments.out, arguments.seed)
    else:
        _held_out(arguments.out, arguments.n)


def _train(out: Path, seed: int) -> None:
    from transformers.utils import logging

    from dev.models.train import Recipe
    from dev.models.train import train as run

    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    run(out, Recipe(seed=seed), progress=lambda line: print(line, flush=True))


def _held_out(out: Path, n: int) -> None:
    from dev.models.heldout import write_held_out

    print(f"wrote {len(write_held_out(out, n))} pictures to {out}")


if __name__ == "__main__":
    main()
