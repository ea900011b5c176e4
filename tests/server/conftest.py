from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from tests.server.corpora.judge import ENVIRONMENT, Judge
from tests.server.harness import ServerProcess
from tests.server.models import write_clip, write_fake, write_siglip

Start = Callable[..., ServerProcess]


@pytest.fixture(scope="session")
def clip_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_clip(tmp_path_factory.mktemp("models") / "clip")


@pytest.fixture(scope="session")
def siglip_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_siglip(tmp_path_factory.mktemp("models") / "siglip")


@pytest.fixture(scope="session")
def clip_server(clip_directory: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    environment = {"MMM_MODEL_VERSION": "2", "MMM_MODEL_NAME": "clip", "MMM_MAX_IMAGE_PIXELS": "4000000"}
    directory = tmp_path_factory.mktemp("clip-server")
    with ServerProcess(directory, environment, ["--model", str(clip_directory)]) as server:
        yield server.wait_ready()


@pytest.fixture(scope="session")
def judge(clip_directory: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Judge]:
    """One server for all corpora, so that what one leaves behind shows in the next."""
    with ServerProcess(tmp_path_factory.mktemp("judge"), ENVIRONMENT, ["--model", str(clip_directory)]) as server:
        yield Judge(server)


@pytest.fixture
def clip(clip_server: ServerProcess) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=clip_server.url, timeout=30) as client:
        yield client


@pytest.fixture
def start_fake(tmp_path: Path) -> Iterator[Start]:
    """Starts servers with a fake model; keyword arguments in capitals are environment, the others are faults."""
    with ExitStack() as stack:
        count = 0

        def start(**options: object) -> ServerProcess:
            nonlocal count
            count += 1
            environment = {name: str(value) for name, value in options.items() if name.isupper()}
            faults = {name: value for name, value in options.items() if not name.isupper()}
            model = write_fake(tmp_path / f"model-{count}", **faults)
            server = ServerProcess(tmp_path / f"server-{count}", environment, ["--model", str(model)])
            return stack.enter_context(server)

        yield start
