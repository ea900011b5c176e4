"""What a pod's security context and the Kubernetes contracts expect of the two images."""

import subprocess
import tomllib

import pytest

from dev.images.recipe import BASE_IMAGE

from .dockerfile import ROOT, read

IMAGES = ("operator", "server")


@pytest.mark.parametrize("image", IMAGES)
def test_starts_its_own_module_and_takes_the_command_as_argument(image: str) -> None:
    final = read(image)[-1]
    assert final.json("ENTRYPOINT") == ["python", "-m", f"mmm_{image}"]
    assert final.json("CMD") == [{"operator": "run", "server": "serve"}[image]]


@pytest.mark.parametrize("image", IMAGES)
def test_runs_as_a_numbered_user_that_is_not_root(image: str) -> None:
    final = read(image)[-1]
    assert final.only("USER") == "65532:65532"
    assert [name for name, _ in final.instructions].index("USER") > max(
        index for index, (name, _) in enumerate(final.instructions) if name in {"RUN", "COPY"}
    )


@pytest.mark.parametrize("image", IMAGES)
def test_ends_on_sigterm(image: str) -> None:
    assert read(image)[-1].only("STOPSIGNAL") == "SIGTERM"


@pytest.mark.parametrize("image", IMAGES)
def test_writes_nowhere_but_in_tmp(image: str) -> None:
    final = read(image)[-1]
    assert final.environment()["HOME"] == "/tmp"
    assert final.environment()["PYTHONDONTWRITEBYTECODE"] == "1"
    assert final.all("WORKDIR")[-1] == "/tmp"
    assert final.all("VOLUME") == []


def test_openmp_threads_do_not_spin_and_their_number_is_the_servers_to_choose() -> None:
    environment = read("server")[-1].environment()
    assert environment["OMP_WAIT_POLICY"] == "passive"
    assert "OMP_NUM_THREADS" not in environment


@pytest.mark.parametrize("image", IMAGES)
def test_our_code_is_the_last_layer(image: str) -> None:
    final = read(image)[-1]
    changing = [(name, argument) for name, argument in final.instructions if name in {"RUN", "COPY", "ADD"}]
    assert changing[-1][1].startswith("--from=sources")


@pytest.mark.parametrize(("image", "other"), [("operator", "server"), ("server", "operator")])
def test_each_image_holds_its_own_package_and_the_repository_protocol_only(image: str, other: str) -> None:
    copied = [source for stage in read(image) for source in stage.copied()]
    packages = {source for source in copied if "/src/" in source}
    assert packages == {f"{image}/src/mmm_{image}", "repository/src/mmm_repository"}
    assert not any(other in source for source in copied)


@pytest.mark.parametrize("image", IMAGES)
def test_an_index_address_or_a_token_cannot_stay_in_the_image(image: str) -> None:
    declared = {argument.split("=")[0] for stage in read(image) for argument in stage.all("ARG")}
    assert declared <= {"BASE_IMAGE", "VERSION", "ACCELERATOR", "WHEEL_INDEX", "LOCK"}


@pytest.mark.parametrize("image", IMAGES)
def test_stands_on_the_base_image_that_the_build_makes_where_no_registry_is(image: str) -> None:
    stages = read(image)
    assert stages[0].defaults()["BASE_IMAGE"] == BASE_IMAGE
    assert {stage.base.split()[0] for stage in stages[1:]} == {"${BASE_IMAGE}"}


@pytest.mark.parametrize("image", IMAGES)
def test_a_plain_build_is_labelled_with_the_projects_version(image: str) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert read(image)[0].defaults()["VERSION"] == project["version"]
    assert 'org.opencontainers.image.version="${VERSION}"' in read(image)[-1].only("LABEL")


@pytest.mark.parametrize("image", IMAGES)
def test_everything_that_is_copied_exists_and_reaches_the_builder(image: str) -> None:
    defaults = {name: value for stage in read(image) for name, value in stage.defaults().items()}
    for stage in read(image):
        for source in stage.copied():
            path = source.replace("${LOCK}", defaults.get("LOCK", ""))
            assert (ROOT / path).exists(), path
            assert _reaches_the_builder(path), path


@pytest.mark.parametrize("path", [".git/HEAD", ".venv/bin/python", "build/x", "tests/unit/x.py", "README.md"])
def test_nothing_else_reaches_the_builder(path: str) -> None:
    assert not _reaches_the_builder(path)


def test_the_script_that_installs_the_lock_is_a_valid_shell_script() -> None:
    subprocess.run(["sh", "-n", ROOT / "dev/images/inside/install.sh"], check=True)


def _reaches_the_builder(path: str) -> bool:
    """`.dockerignore` begins by leaving out everything, so a path needs an exception that is a prefix of it."""
    lines = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")]
    assert lines[0] == "*"
    exceptions = [line.removeprefix("!").split("*")[0] for line in lines if line.startswith("!")]
    return any(path.startswith(exception) for exception in exceptions)
