"""docs/limits.md names the settings that there are, with their defaults."""

import re
from pathlib import Path

from mmm_server.settings import PREFIX, TUNABLE, Settings

PAGE = (Path(__file__).resolve().parents[3] / "docs/limits.md").read_text()


def test_every_limit_is_on_the_page_and_every_variable_exists() -> None:
    named = {name.removeprefix(PREFIX).lower() for name in re.findall(r"MMM_[A-Z_]+", PAGE)}
    assert named <= set(Settings.model_fields)
    limits = {name for name in Settings.model_fields if name.startswith("max_")}
    assert limits - named <= {"max_batch_size", "max_queue_seconds", "max_queue_items"}


def test_the_defaults_on_the_page_are_those_of_the_settings() -> None:
    rows = _rows()
    assert len(rows) > 10
    for variable, shown in rows:
        assert Settings.model_fields[variable.removeprefix(PREFIX).lower()].default == shown


def _rows() -> list[tuple[str, float]]:
    rows = re.findall(r"^\| `(MMM_[A-Z_]+)` \| ([0-9][0-9,]*)( MiB)?", PAGE, re.M)
    return [(name, int(number.replace(",", "")) * (2**20 if unit else 1)) for name, number, unit in rows]


def test_every_limit_of_the_page_can_be_set_by_a_model_owner() -> None:
    named = {name.lower() for name in re.findall(r"MMM_([A-Z_]+)`", PAGE)}
    assert len(named) > 15
    assert named <= set(TUNABLE)
