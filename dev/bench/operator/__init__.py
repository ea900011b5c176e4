"""How fast and how heavy the operator is, on a real API server.

For each number of objects N, alone on the machine and in this order:

1. *Floor.* On a fresh control plane a plain client with eight connections creates the children of N objects itself:
   what this machine can do at all. Once before and once after the operator's turn; their mean counts.
2. *Creation.* On a fresh control plane (no nodes, no scheduler: pods stay Pending) the same client creates N autoscaled
   MultimodalModels of one published version. Time runs from the first of these requests to the last child's.
3. *Reaction.* Thirty edits of a spec, one at a time, until the operator's first write of a child.
4. *Restart.* SIGTERM and start over unchanged objects; settled at the end of the last second with over 3 % CPU.
5. *Simulated nodes*, if wanted: the same objects with kwok's nodes and the scheduler, until all are Ready.
6. *Idle*: nothing, for so long; over objects that serve, if there are simulated nodes.

The operator is a process with the chart's rights and its default settings, known by its ServiceAccount's token, so the
API server's priority and fairness applies. Requests are counted from the audit log, Leases and watches left out; CPU
and memory are the kernel's. Writes that changed nothing are seen by the resourceVersion in the answers about the first
twenty objects.
"""

from dev.bench.operator.figures import figures
from dev.bench.operator.run import measure_all
from dev.bench.report import Figure


def measure(seconds: float) -> dict[str, Figure]:
    """The part that `make bench` runs: twenty objects, idle for so long."""
    (found,) = measure_all([20], idle_seconds=seconds, nodes=False)
    return figures(found)
