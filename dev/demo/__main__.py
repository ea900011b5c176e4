"""`make demo`: from nothing to a served, updated and scaled model, with the time that each phase took."""

import argparse
import sys
import time

from dev.demo.phases import NAMESPACE, PREPARATION, STORY, Demo, title
from dev.demo.stage import RELEASE, Stage, StageError
from dev.images.command import BuildError as ImageBuildError
from dev.localcluster.claim import NodeTaken
from dev.localcluster.cluster import ClusterError
from dev.localcluster.processes import ProcessError
from dev.tools import BuildError, MissingPackages, tool

GO_ON = """
Go on by hand:
  export KUBECONFIG={kubeconfig}
  alias kubectl={kubectl}
  kubectl get mmm -n {namespace} -w
  kubectl explain mmm.spec.model
  kubectl patch mmm clip -n {namespace} --type=merge -p '{{"spec":{{"model":{{"version":"1"}}}}}}'    # and back again
  kubectl logs -n multimodal-operator-system deployment/{release} -f
  make demo-down
"""


def main() -> int:
    """0 when every phase worked, 1 when one failed, 69 when something is missing on this machine."""
    parser = argparse.ArgumentParser(prog="python -m dev.demo", description=__doc__)
    parser.add_argument("action", nargs="?", choices=["up", "down"], default="up")
    demo = Demo(say=_say)
    if parser.parse_args().action == "down":
        return tear_down(demo.stage)
    try:
        run(demo)
    except (MissingPackages, ImageBuildError, BuildError) as error:
        print(f"\ndemo: {error}", file=sys.stderr)
        return 69
    except (StageError, ClusterError, NodeTaken, ProcessError) as error:
        print(f"\ndemo: {error}", file=sys.stderr)
        return 1
    return 0


def run(demo: Demo) -> None:
    """Every phase in turn."""
    phases, began = [*PREPARATION, *STORY], time.monotonic()
    for number, phase in enumerate(phases, start=1):
        started = time.monotonic()
        print(f"\n\033[1m[{number}/{len(phases)}] {title(phase)}\033[0m", flush=True)
        phase(demo)
        print(f"    done in {time.monotonic() - started:.1f} s, {time.monotonic() - began:.0f} s in all", flush=True)
    _explain(demo)


def tear_down(stage: Stage) -> int:
    """Remove the cluster and the object store, if they are there; images, programs and models stay cached."""
    stage.down()
    print("the demo's cluster and object store are gone; caches stay (make clean removes them too)")
    return 0


def _explain(demo: Demo) -> None:
    kubeconfig = demo.stage.cluster.kubeconfig
    print(GO_ON.format(kubeconfig=kubeconfig, kubectl=tool("kubectl"), namespace=NAMESPACE, release=RELEASE))


def _say(text: str) -> None:
    print("\n".join(f"    {line}" for line in text.rstrip().splitlines()), flush=True)


if __name__ == "__main__":
    sys.exit(main())
