"""Commands on a cluster: up, down, status, load-image, gpus, kubeconfig."""

import argparse
import sys
import time
from pathlib import Path

from dev.localcluster import ClusterError, LocalCluster
from dev.localcluster.api import ApiError
from dev.localcluster.claim import NodeTaken
from dev.localcluster.images import ImageError
from dev.localcluster.processes import ProcessError
from dev.tools import BuildError, MissingPackages

HEALTHY, DEGRADED, ABSENT, PACKAGES_MISSING = 0, 1, 3, 4


def main(arguments: list[str] | None = None) -> int:
    """0; 1 for a failure or a cluster that does not work as a whole; 3 for none at all; 4 for missing packages."""
    chosen = _parser().parse_args(arguments)
    cluster = LocalCluster(chosen.state)
    try:
        return _run(cluster, chosen)
    except MissingPackages as error:
        print(error, file=sys.stderr)
        return PACKAGES_MISSING
    except (ApiError, BuildError, ClusterError, ImageError, NodeTaken, ProcessError) as error:
        print(error, file=sys.stderr)
        return DEGRADED


def _run(cluster: LocalCluster, chosen: argparse.Namespace) -> int:
    match chosen.command:
        case "up":
            _up(cluster, node=not chosen.no_node)
        case "down":
            cluster.down()
        case "status":
            return _status(cluster)
        case "load-image":
            for image in chosen.images:
                cluster.load_image(image)
        case "gpus":
            cluster.set_gpus(chosen.count)
        case "kubeconfig":
            print(cluster.kubeconfig)
    return HEALTHY


def _parser() -> argparse.ArgumentParser:
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--state", type=Path, metavar="DIR", help="where the cluster is kept")
    parser = argparse.ArgumentParser(prog="python -m dev.localcluster", description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    up = commands.add_parser("up", parents=[common], help="make the cluster, or repair it")
    up.add_argument("--no-node", action="store_true", help="control plane only: no root needed, many fit one machine")
    commands.add_parser("down", parents=[common], help="remove every trace of the cluster")
    commands.add_parser("status", parents=[common], help="show what runs")
    load = commands.add_parser("load-image", parents=[common], help="make images known to the node")
    load.add_argument("images", nargs="+", type=Path, metavar="FILE_OR_OCI_DIR")
    gpus = commands.add_parser("gpus", parents=[common], help="pretend that the node has so many GPUs")
    gpus.add_argument("count", type=int, metavar="N")
    commands.add_parser("kubeconfig", parents=[common], help="print the path of the kubeconfig")
    return parser


def _up(cluster: LocalCluster, node: bool) -> None:
    started = time.monotonic()
    cluster.up(node=node)
    print(f"the cluster is ready after {time.monotonic() - started:.1f} s", file=sys.stderr)
    print(f"export KUBECONFIG={cluster.kubeconfig}")


def _status(cluster: LocalCluster) -> int:
    parts = cluster.status()
    if not parts:
        print(f"no cluster at {cluster.state}")
        return ABSENT
    for part in parts:
        print(f"{part.name:<26}{'running' if part.running else 'stopped':<10}{part.pid or '-'}")
    works = cluster.healthy()
    print(f"\nthe cluster {'works' if works else 'does not work as a whole; `up` repairs it'}")
    return HEALTHY if works else DEGRADED


if __name__ == "__main__":
    sys.exit(main())
