"""What the command line says of the server is what the server says of itself."""

import importlib

from mmm_cli.sample import TASKS
from mmm_server.backends.registry import FAMILIES


def test_the_tasks_of_every_architecture_are_the_servers() -> None:
    advertised = [family for family in FAMILIES if family.advertised]
    offered = {
        architecture: tuple(importlib.import_module(family.module).TASKS)
        for family in advertised
        for architecture in family.architectures
    }
    assert {name: tuple(map(str, tasks)) for name, tasks in TASKS.items()} == {
        name: tuple(map(str, tasks)) for name, tasks in offered.items()
    }
