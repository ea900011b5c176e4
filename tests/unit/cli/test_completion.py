"""What shells and kubectl are offered to complete with, asked the way they ask."""

import subprocess
import sys

import pytest


def proposals(*words: str) -> list[str]:
    code = "import sys; from mmm_cli.completion import main; main()"
    answer = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, check=True)
    *found, directive = answer.stdout.splitlines()
    assert directive == ":0"
    return [line for line in found if line]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("",), {"publish", "versions", "verify", "pull", "init", "validate", "rollout"}),
        (("pu",), {"publish", "pull"}),
        (("versions", "s3://m/x", "-o", ""), {"table", "json", "yaml"}),
        (("publish", "--addressing-style", "P"), {"Path"}),
        (("verify", "--ca"), {"--ca-file"}),
        (("rollout", ""), {"status", "history", "undo", "promote", "pause", "resume"}),
        (("rollout", "undo", "clip", "--to"), {"--to-revision", "--to-version"}),
    ],
)
def test_kubectl_gets_proposals(words: tuple[str, ...], expected: set[str]) -> None:
    assert expected <= set(proposals(*words))


@pytest.mark.parametrize(
    ("shell", "question"),
    [
        ("bash", {"COMP_WORDS": "mmm va", "COMP_CWORD": "1"}),
        ("zsh", {"_TYPER_COMPLETE_ARGS": "mmm va"}),
        ("fish", {"_TYPER_COMPLETE_ARGS": "mmm va", "_TYPER_COMPLETE_FISH_ACTION": "get-args"}),
    ],
)
def test_shells_get_proposals(shell: str, question: dict[str, str]) -> None:
    answer = subprocess.run(
        [sys.executable, "-m", "mmm_cli"],
        env={"_MMM_COMPLETE": f"complete_{shell}", **question},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "validate" in answer.stdout
    assert "publish" not in answer.stdout
