"""What keeps a server from starting, and what it leaves behind for the operator."""

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from tests.server.conftest import Start
from tests.server.harness import ServerProcess
from tests.server.models import write_fake

CLIP_CONFIG = json.dumps({"architectures": ["CLIPModel"], "model_type": "clip"})


def directory_of(root: Path, files: dict[str, bytes | str]) -> Path:
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return root


def ending_of(tmp_path: Path, model: Path, **environment: str) -> tuple[int, dict[str, str]]:
    with ServerProcess(tmp_path / "server", environment, ["--model", str(model)]) as server:
        return server.wait_exit(), server.termination()


SAFETENSORS = (2).to_bytes(8, "little") + b"{}"

UNLOADABLE: dict[str, tuple[dict[str, bytes | str], str, str]] = {
    "an empty directory": ({"readme.md": "x"}, "UnsupportedModel", "config.json"),
    "a config that is no JSON": ({"config.json": "{"}, "UnsupportedModel", "config.json"),
    "an architecture without a backend": (
        {"config.json": '{"architectures": ["BertModel"]}', "model.safetensors": SAFETENSORS},
        "UnsupportedModel",
        "BertModel; supported are CLIPModel, SiglipModel",
    ),
    "a config without an architecture": (
        {"config.json": "{}", "model.safetensors": SAFETENSORS},
        "UnsupportedModel",
        "no architecture",
    ),
    "only pickled weights": (
        {"config.json": CLIP_CONFIG, "pytorch_model.bin": b"\x80\x04"},
        "UnsafeArtifact",
        "pytorch_model.bin",
    ),
    "code": ({"config.json": CLIP_CONFIG, "modeling.py": "print()"}, "UnsafeArtifact", "modeling.py"),
    "a config that asks for code": (
        {"config.json": '{"architectures": ["CLIPModel"], "nested": {"auto_map": {"AutoModel": "x.Y"}}}'},
        "UnsafeArtifact",
        "auto_map",
    ),
    "weights with a broken header": (
        {"config.json": CLIP_CONFIG, "model.safetensors": b"\xff" * 64},
        "UnsafeArtifact",
        "model.safetensors",
    ),
    "no weights": ({"config.json": CLIP_CONFIG}, "ModelLoadFailed", "no safetensors"),
}


@pytest.mark.parametrize("name", UNLOADABLE)
def test_a_directory_that_cannot_be_served_ends_the_process(tmp_path: Path, name: str) -> None:
    files, reason, words = UNLOADABLE[name]
    code, termination = ending_of(tmp_path, directory_of(tmp_path / "model", files))
    assert (code, termination["reason"]) == (3, reason)
    assert words in termination["message"]


def test_weights_of_another_model_end_the_process(tmp_path: Path, clip_directory: Path) -> None:
    files = {path.name: path.read_bytes() for path in clip_directory.iterdir()}
    files["model.safetensors"] = SAFETENSORS
    code, termination = ending_of(tmp_path, directory_of(tmp_path / "model", dict(files)))
    assert (code, termination["reason"]) == (3, "ModelLoadFailed"), termination
    assert "The weights lack" in termination["message"]


def test_a_missing_accelerator_ends_the_process(tmp_path: Path, clip_directory: Path) -> None:
    code, termination = ending_of(tmp_path, clip_directory, MMM_REQUIRE_ACCELERATOR="true", CUDA_VISIBLE_DEVICES="")
    assert (code, termination["reason"]) == (3, "AcceleratorUnavailable")


def test_a_directory_that_is_not_there_yet_may_be_retried(tmp_path: Path) -> None:
    code, termination = ending_of(tmp_path, tmp_path / "nothing")
    assert (code, termination["reason"]) == (1, "ModelLoadFailed")


def test_a_task_that_the_model_cannot_do_ends_the_process(tmp_path: Path) -> None:
    model = write_fake(tmp_path / "model")
    code, termination = ending_of(tmp_path, model, MMM_MODEL_TASKS="ImageEmbedding,Captioning")
    assert (code, termination["reason"]) == (3, "UnsupportedTask")
    assert "does not offer Captioning; it offers ImageEmbedding, TextEmbedding" in termination["message"]


def publish(root: Path, *, tamper: bool = False) -> str:
    """A fake model version with a manifest under <root>/<digest>; returns the digest."""
    model = write_fake(root / "new")
    config = model / "config.json"
    files = [
        {
            "path": "config.json",
            "size": config.stat().st_size,
            "sha256": hashlib.sha256(config.read_bytes()).hexdigest(),
        }
    ]
    manifest = json.dumps({"format": 1, "files": files, "metadata": {}}, sort_keys=True, separators=(",", ":")).encode()
    digest = hashlib.sha256(manifest).hexdigest()
    (model / "manifest.json").write_bytes(manifest)
    if tamper:
        config.write_text(config.read_text() + " ")
    model.rename(root / digest)
    return f"sha256:{digest}"


def test_the_digest_names_the_directory_and_the_bytes(tmp_path: Path) -> None:
    digest = publish(tmp_path)
    environment = {"MMM_MODEL_ROOT": str(tmp_path), "MMM_MODEL_DIGEST": digest, "MMM_MODEL_VERSION": "7"}
    with ServerProcess(tmp_path / "server", environment) as server:
        answer = httpx.post(f"{server.wait_ready().url}/v1/embed", json={"texts": ["a"]})
        assert (answer.headers["x-model-digest"], answer.headers["x-model-version"]) == (digest, "7")
        assert server.status()["model"]["digest"] == digest


@pytest.mark.parametrize("wrong", ["manifest", "file"])
def test_other_bytes_than_the_wanted_ones_end_the_process(tmp_path: Path, wrong: str) -> None:
    digest = publish(tmp_path, tamper=wrong == "file")
    wanted = digest if wrong == "file" else "sha256:" + "0" * 64
    (tmp_path / digest.removeprefix("sha256:")).rename(tmp_path / wanted.removeprefix("sha256:"))
    environment = {"MMM_MODEL_ROOT": str(tmp_path), "MMM_MODEL_DIGEST": wanted}
    with ServerProcess(tmp_path / "server", environment) as server:
        assert server.wait_exit() == 3
        assert server.termination()["reason"] == "DigestMismatch"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("MMM_MAX_BATCH_SIZE", "many"), ("MMM_MAX_BATCH_SIZE", "0"), ("MMM_HTTP_PORT", "70000"),
        ("MMM_MODEL_DIGEST", "sha256:abc"), ("MMM_DTYPE", "float8"), ("MMM_GRACE_SECONDS", "nan"),
    ],
)  # fmt: skip
def test_settings_that_make_no_sense_are_one_sentence_and_exit_2(tmp_path: Path, name: str, value: str) -> None:
    with ServerProcess(tmp_path / "server", {name: value}, ["--model", str(tmp_path)]) as server:
        assert server.wait_exit() == 2
        termination = server.termination()
    assert termination["reason"] == "InternalError"
    assert termination["message"].startswith(f"{name}={value}: ")
    assert "\n" not in termination["message"]


def test_a_termination_log_that_cannot_be_written_changes_nothing(tmp_path: Path) -> None:
    environment = {"MMM_TERMINATION_LOG": str(tmp_path / "no" / "such" / "directory")}
    with ServerProcess(tmp_path / "server", environment, ["--model", str(tmp_path / "nothing")]) as server:
        assert server.wait_exit() == 1


def test_a_port_that_is_taken_is_said(tmp_path: Path, start_fake: Start) -> None:
    port = start_fake().ports()[0]
    with ServerProcess(tmp_path / "second", {"MMM_HTTP_PORT": str(port)}, ["--model", str(tmp_path)]) as server:
        assert server.wait_exit() == 1
        assert str(port) in server.termination()["message"]


def test_live_but_not_ready_while_the_model_loads(start_fake: Start) -> None:
    server = start_fake(load_seconds=8.0)
    with httpx.Client(base_url=server.url) as client:
        assert client.get("/livez").status_code == 200
        assert client.get("/readyz").status_code == 503
        assert client.get("/startupz").status_code == 503
        refused = client.post("/v1/embed", json={"texts": ["a"]})
        assert (refused.status_code, refused.json()["code"]) == (503, "not-ready")
        assert int(refused.headers["retry-after"]) > 0
        assert server.status()["state"] == "LOADING"
        server.wait_ready()
        assert client.get("/startupz").status_code == 200
        assert client.get("/readyz?verbose").text.splitlines()[0] == "[+] state READY"


def test_a_stop_while_the_model_loads_ends_at_once(start_fake: Start) -> None:
    server = start_fake(load_seconds=30.0)
    server.ports()
    server.signal()
    assert server.wait_exit(5) == 0


def test_help_and_version_need_no_settings() -> None:
    for argument, words in (("--help", "serve"), ("--version", "0.")):
        done = subprocess.run(
            [sys.executable, "-m", "mmm_server", argument], capture_output=True, text=True, check=True
        )
        assert words in done.stdout


def test_a_wrong_command_is_a_usage_error() -> None:
    done = subprocess.run([sys.executable, "-m", "mmm_server", "dance"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
