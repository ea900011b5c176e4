"""What the command line makes of its arguments, with no store in sight."""

import subprocess
import sys

import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from mmm_cli.app import app
from mmm_cli.output import readable_bytes, show_facts, show_table
from mmm_cli.publish import parse_metadata


def test_metadata_values_keep_their_kind() -> None:
    facts = parse_metadata(["accuracy=0.93", "task=ZeroShot", "gpu=true", "note=a=b", "empty=", 'tags=["x"]'])
    assert facts == {"accuracy": 0.93, "task": "ZeroShot", "gpu": True, "note": "a=b", "empty": "", "tags": ["x"]}


@pytest.mark.parametrize("pair", ["accuracy", "=0.93", ""])
def test_metadata_needs_a_key_and_a_value(pair: str) -> None:
    with pytest.raises(typer.BadParameter):
        parse_metadata([pair])


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (5 * 2**20, "5.0 MiB"), (2**42, "4.0 TiB")]
)
def test_bytes_are_written_as_people_write_them(count: int, text: str) -> None:
    assert readable_bytes(count) == text


@given(st.integers(0, 2**60))
def test_a_number_of_bytes_is_always_short(count: int) -> None:
    assert len(readable_bytes(count)) < 16


def test_columns_are_aligned_and_never_cut(capsys: pytest.CaptureFixture[str]) -> None:
    show_table(("A", "B"), [("x", "y" * 200), ("long", "z")])
    assert capsys.readouterr().out.splitlines() == ["A      B", "x      " + "y" * 200, "long   z"]
    show_facts({"a": "[red]1[/red]", "bcd": "2"})
    assert capsys.readouterr().out == "a    [red]1[/red]\nbcd  2\n"


def test_the_command_line_needs_neither_cluster_nor_server_libraries() -> None:
    """`pip install multimodal-operator[cli]` brings none of them."""
    foreign = "{'kubernetes', 'kopf', 'torch', 'transformers', 'fastapi', 'prometheus_client'}"
    code = f"import sys, mmm_cli.app; print(*{foreign} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "\n"


@pytest.mark.parametrize("command", ["publish", "versions", "verify", "pull"])
def test_every_command_explains_itself(command: str) -> None:
    result = CliRunner().invoke(app, [command, "--help"])
    assert result.exit_code == 0
    assert "--endpoint" in result.stdout


@pytest.mark.parametrize(
    "arguments",
    [
        ["publish"],
        ["publish", "dir", "s3://models/x"],
        ["versions"],
        ["verify"],
        ["pull"],
        ["init"],
        ["validate"],
        ["unknown"],
        ["versions", "x", "-o", "xml"],
    ],
)
def test_wrong_usage_is_exit_code_2(arguments: list[str]) -> None:
    assert CliRunner().invoke(app, arguments).exit_code == 2
