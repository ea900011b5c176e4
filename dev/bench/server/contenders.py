"""Who takes part, and how each is started, asked and understood."""

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dev.bench.server import bodies, environments
from dev.bench.server.bodies import LABELS, Encode

PROGRAMS = "dev.bench.server.programs"
OURS, RAW = "ours", "raw"


@dataclass(frozen=True)
class Serving:
    """What a started contender shall serve."""

    model: Path
    dtype: str
    threads: int
    port: int
    operations_port: int


@dataclass(frozen=True)
class Contender:
    """One server. `arguments` follow the interpreter; `scores` takes the probabilities out of an answer."""

    name: str
    title: str
    path: str
    encode: Encode
    scores: Callable[[Any], list[float]]
    arguments: Callable[[Serving], list[str]]
    own_environment: bool = True

    def python(self) -> Path:
        """The interpreter; Unavailable if there is none."""
        return environments.python_of(self.name) if self.own_environment else Path(sys.executable)

    def environment(self, serving: Serving) -> dict[str, str]:
        """The variables of its process: the same threads and the same wait policy for everybody."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(("MMM_", "BENTOML_"))}
        if self.own_environment:
            inherited.pop("PYTHONPATH", None)
        return {
            **inherited,
            "OMP_NUM_THREADS": str(serving.threads),
            "OMP_WAIT_POLICY": "PASSIVE",
            "HF_HUB_OFFLINE": "1",
            "TOKENIZERS_PARALLELISM": "false",
            "DO_NOT_TRACK": "1",
            "BENTOML_DO_NOT_TRACK": "True",
            "BENCH_MODEL": str(serving.model),
            "BENCH_DTYPE": serving.dtype,
            "BENCH_THREADS": str(serving.threads),
            "BENCH_PORT": str(serving.port),
            "MMM_HOST": "127.0.0.1",
            "MMM_DTYPE": serving.dtype,
        }


def _ours(serving: Serving) -> list[str]:
    ports = ["--port", str(serving.port), "--operations-port", str(serving.operations_port)]
    return ["-m", "mmm_server", "serve", "--model", str(serving.model), *ports]


def _program(name: str) -> Callable[[Serving], list[str]]:
    return lambda _: ["-m", f"{PROGRAMS}.{name}"]


def _bento(serving: Serving) -> list[str]:
    return ["-m", "bentoml", "serve", f"{PROGRAMS}.bento:service", "--host", "127.0.0.1", "--port", str(serving.port)]


def _of_ours(answer: Any) -> list[float]:
    scores = answer["predictions"][0]["scores"]
    return [scores[label] for label in LABELS]


def _plain(answer: Any) -> list[float]:
    found: list[float] = answer["scores"]
    return found


CONTENDERS = {
    contender.name: contender
    for contender in (
        Contender(OURS, "mmm-server", "/predict", bodies.multipart, _of_ours, _ours, own_environment=False),
        Contender(
            "naive", "naive FastAPI", "/predict", bodies.multipart, _plain, _program("naive"), own_environment=False
        ),
        Contender("litserve", "LitServe", "/predict", bodies.multipart, _plain, _program("litserve_api")),
        Contender("mosec", "mosec", "/inference", bodies.msgpack, _plain, _program("mosec_workers")),
        Contender("bentoml", "BentoML", "/predict", bodies.as_json, lambda answer: _plain(answer[0]), _bento),
        Contender(
            "kserve",
            "KServe Python",
            "/v1/models/clip:predict",
            bodies.instances,
            lambda answer: list(answer["predictions"][0]),
            _program("kserve_model"),
        ),
    )
}
