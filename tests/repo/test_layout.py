"""The house stands as it was drawn."""

import ast
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCES = sorted(
    path
    for part in ("operator", "server", "repository", "cli", "dev", "e2e", "tests")
    for path in (ROOT / part).rglob("*.py")
)
BANNED = {"utils", "util", "helpers", "common", "manager", "misc", "data", "info", "process"}
PACKAGES = ("mmm_operator", "mmm_server", "mmm_repository", "mmm_cli")


@pytest.mark.parametrize("folder", ["operator", "server"])
def test_no_package_shadows_the_standard_library(folder: str) -> None:
    # With operator/__init__.py, `import operator` from the root finds ours and Python does not even start.
    assert not (ROOT / folder / "__init__.py").exists()


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_files_and_functions_fit_in_the_head(path: Path) -> None:
    text = path.read_text()
    assert path.stem not in BANNED
    assert text.count("\n") <= 500
    assert [name for name, lines in _functions(text) if lines > 60] == []


@pytest.mark.parametrize(
    "name",
    [
        *(
            "pyproject.toml",
            "README.md",
            "ARCHITECTURE.md",
            "CONTRIBUTING.md",
            "SECURITY.md",
            "CHANGELOG.md",
            "LICENSE",
        ),
        *("Makefile", "Dockerfile.operator", "Dockerfile.server", ".ci/run"),
        *("crds", "charts", "manifests", "tests", "e2e", "docs/adr", "docs/glossary.md"),
        *("requirements/dev.lock", "requirements/operator.lock", "requirements/server.lock"),
        "requirements/conformance.lock",
    ],
)
def test_it_is_there(name: str) -> None:
    assert (ROOT / name).exists()


@pytest.mark.parametrize("lock", ["dev", "operator", "server", "uv", "conformance"])
def test_locks_have_hashes_and_no_addresses(lock: str) -> None:
    lines = (ROOT / "requirements" / f"{lock}.lock").read_text().splitlines()
    pins = [line for line in lines if "==" in line and not line.startswith((" ", "#"))]
    assert pins
    assert all(line.endswith("\\") for line in pins)
    assert not [line for line in lines if "://" in line or "--index" in line]


def test_the_operator_image_holds_no_torch_and_the_server_image_no_kubernetes_client() -> None:
    pinned = {name: (ROOT / "requirements" / f"{name}.lock").read_text() for name in ("operator", "server")}
    assert "\ntorch==" not in pinned["operator"]
    assert "\nkubernetes==" not in pinned["server"]


def test_every_dependency_has_its_line_in_the_record() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"], *(d for extra in project["optional-dependencies"].values() for d in extra)]
    record = (ROOT / "docs/adr/0009-dependencies.md").read_text()
    names = {item.split("[")[0].split(">")[0].split("=")[0].strip() for item in wanted} - {"multimodal-operator"}
    assert [name for name in sorted(names) if name.lower() not in record.lower()] == []


def _functions(text: str) -> Iterator[tuple[str, int]]:
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name, (node.end_lineno or node.lineno) - node.lineno + 1
