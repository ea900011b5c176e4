"""`mmm-operator simulate`: from arguments to the table on standard output."""

import argparse
import json
import sys
from collections.abc import Sequence

from mmm_operator.offline.command import take_settings, take_wanted
from mmm_operator.offline.documents import Unusable, read_documents
from mmm_operator.offline.simulation.answers import Answers
from mmm_operator.offline.simulation.arguments import NOT_READY, READY
from mmm_operator.offline.simulation.cluster import Cluster, Times
from mmm_operator.offline.simulation.run import simulate
from mmm_operator.offline.simulation.script import Occurrence, When
from mmm_operator.offline.simulation.table import to_table, to_value
from mmm_operator.offline.simulation.world import World


def run_simulation(chosen: argparse.Namespace) -> int:
    """Print the course; the answer is the exit code. Raises Unusable and SettingsError with what is wrong."""
    settings, _ = take_settings()  # nobody sees the image here
    wanted = take_wanted(read_documents([chosen.filename]), chosen.namespace)
    if len(wanted) != 1:
        raise Unusable([f"{chosen.filename}: holds {len(wanted)} MultimodalModels, and one is simulated at a time"])
    _check_order(chosen.event)
    ((key, raw),) = wanted
    times = Times(chosen.load, chosen.stop, chosen.fetch)
    cluster = Cluster(key.namespace, key.name, times, chosen.capacity)
    world = World(key, raw, cluster, settings, answers=Answers(chosen.requests))
    course = simulate(world, chosen.event, chosen.limit)
    as_json = chosen.output == "json"
    sys.stdout.write((json.dumps(to_value(course), indent=2) if as_json else to_table(course)) + "\n")
    return READY if course.ready and course.rest is not None else NOT_READY


def _check_order(script: Sequence[Occurrence]) -> None:
    times = [occurrence.seconds for occurrence in script if occurrence.when is When.START]
    if times != sorted(times):
        raise Unusable(["--event: write the events in the order in which they happen"])
