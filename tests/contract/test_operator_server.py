"""What the operator writes into a pod is what the server and the fetcher in it understand, and the other way round.

The two never import each other, so nothing but these tests keeps their words alike.
"""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import ValidationError
from starlette.testclient import TestClient

import mmm_repository.errors as repository_errors
import mmm_server.errors as server_errors
import mmm_server.metrics as server_metrics
from mmm_operator import names
from mmm_operator.api.conditions import Reason
from mmm_operator.api.environment import refuse_name
from mmm_operator.api.storage import AddressingStyle
from mmm_operator.api.v1alpha1 import DType, Quantization, Task
from mmm_operator.builders.environment import MODEL_ROOT
from mmm_operator.builders.models import VERSIONS_SIDE_BY_SIDE
from mmm_operator.builders.told import Told
from mmm_operator.diagnose import OWN_WORDS, Evidence, diagnose
from mmm_operator.scrape.page import StatusPage
from mmm_operator.snapshot import Manifest
from mmm_repository.storage import AddressingStyle as RepositoryAddressingStyle
from mmm_server.__main__ import _parse
from mmm_server.engine.engine import Engine
from mmm_server.fetch import FetchFailed, FetchSettings, TerminationSettings, load_fetch_settings
from mmm_server.follow import KEPT
from mmm_server.http.app import inference_app, operations_app
from mmm_server.http.mirror_target import Target, parse_target
from mmm_server.metrics import Metrics
from mmm_server.settings import PREFIX, TUNABLE, Settings, load_settings
from mmm_server.tasks import Task as ServerTask
from mmm_server.termination import write_termination
from tests.unit.operator.core.build import SETTINGS, Draft, exited, make_mmm, make_pod
from tests.unit.operator.core.children import DRAFTS, EVERYTHING, container_of, environment_of

SERVER, FETCHER = names.CONTAINER_SERVER, names.CONTAINER_FETCHER
EVERY_DRAFT = pytest.mark.parametrize("draft", DRAFTS.values(), ids=DRAFTS)
FOREIGN_NAMES = {"OMP_WAIT_POLICY"}  # read by a library, not by us


@pytest.fixture
def clean(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """An environment without anything that either side reads."""
    for name in os.environ:
        if name.startswith((PREFIX, "AWS_")):
            monkeypatch.delenv(name)
    return monkeypatch


# The environment


def server_names() -> set[str]:
    return {PREFIX + field.upper() for field in Settings.model_fields}


def fetcher_names() -> set[str]:
    fields = {**FetchSettings.model_fields, **TerminationSettings.model_fields}
    # The fetcher is told the model's name as the server is, and has no use for it.
    return {str(field.validation_alias) for field in fields.values()} | {"MMM_MODEL_NAME"}


def own_names(draft: Draft, container: str) -> set[str]:
    theirs = {item["name"] for item in draft.spec.get("runtime", {}).get("env", ())}
    return {item["name"] for item in container_of(draft, container)["env"]} - theirs - FOREIGN_NAMES


@EVERY_DRAFT
def test_every_variable_has_a_reader(draft: Draft) -> None:
    assert own_names(draft, SERVER) <= server_names()
    assert own_names(draft, FETCHER) <= fetcher_names()


@EVERY_DRAFT
def test_the_server_understands_every_value(draft: Draft, clean: pytest.MonkeyPatch) -> None:
    for name, value in environment_of(draft, SERVER).items():
        clean.setenv(name, value)
    settings, spec = load_settings(), draft.build().spec
    assert settings.model_name == (spec.model.served_name or draft.name)
    assert settings.model_version == spec.model.version
    assert settings.model_digest == draft.revision().digest
    assert settings.model_tasks == tuple(spec.model.tasks)
    assert settings.dtype == spec.runtime.dtype
    assert settings.quantization == spec.runtime.quantization.lower()
    assert settings.max_batch_size == spec.runtime.max_batch_size
    assert settings.max_queue_seconds == spec.runtime.max_queue_seconds
    assert settings.device == ("auto" if spec.accelerator else "cpu")
    assert settings.drain_delay_seconds == SETTINGS.drain_delay_seconds
    assert settings.grace_seconds == SETTINGS.grace_seconds
    assert (settings.http_port, settings.operations_port) == (names.PORT_HTTP, names.PORT_OPERATIONS)


@pytest.mark.parametrize("port", [80, 8080])
def test_the_server_sends_copies_to_the_service_that_the_operator_names(port: int) -> None:
    told = Told(mirror=names.service_url(names.preview_name("clip", "1a2b3c4d"), "models", port))
    assert parse_target(told.files()["mirror.json"].encode()) == Target("clip-1a2b3c4d.models.svc", port)


@EVERY_DRAFT
def test_copies_to_this_machine_are_for_tests_alone(draft: Draft) -> None:
    allowed = "MMM_MIRROR_LOOPBACK"
    assert allowed in server_names()
    assert allowed not in environment_of(draft, SERVER)
    with pytest.raises(ValueError, match="belong to the operator"):
        refuse_name(allowed)
    assert allowed.removeprefix(PREFIX).lower() not in TUNABLE


@EVERY_DRAFT
def test_the_fetcher_understands_every_value(draft: Draft, clean: pytest.MonkeyPatch) -> None:
    for name, value in environment_of(draft, FETCHER).items():
        clean.setenv(name, value)
    for item in container_of(draft, FETCHER)["env"]:
        if "valueFrom" in item:
            clean.setenv(item["name"], f"the-{item['name']}")
    settings, storage = load_fetch_settings()
    spec = draft.build().spec
    assert (settings.version, settings.digest) == (spec.model.version, draft.revision().digest)
    fetched = spec.model.uri.startswith("s3://")
    assert (settings.uri, settings.in_place) == (spec.model.uri if fetched else "", not fetched)
    assert settings.operations_port == names.PORT_OPERATIONS
    assert storage.endpoint == spec.storage.endpoint
    assert storage.addressing_style.value == spec.storage.addressing_style.value
    assert storage.insecure_skip_tls_verify == spec.storage.insecure_skip_tls_verify
    keys = {key.get_secret_value() for key in (storage.access_key_id,) if key}
    assert keys == ({"the-AWS_ACCESS_KEY_ID"} if spec.storage.credentials_secret_ref else set())
    assert (storage.session_token is None) == ("AWS_SESSION_TOKEN" not in own_names(draft, FETCHER))


def test_the_limit_of_the_volume_reaches_the_fetcher(clean: pytest.MonkeyPatch) -> None:
    draft = make_mmm().having(cache={"sizeLimit": "1.5Gi"})
    for name, value in environment_of(draft, FETCHER).items():
        clean.setenv(name, value)
    assert load_fetch_settings()[0].max_bytes == 3 * 2**29


@pytest.mark.parametrize("accelerated", [True, False])
def test_both_agree_on_where_the_model_lies(accelerated: bool, clean: pytest.MonkeyPatch) -> None:
    draft = make_mmm().on_gpu(1) if accelerated else make_mmm()
    for container in (SERVER, FETCHER):
        for name, value in environment_of(draft, container).items():
            clean.setenv(name, value)
        assert {"name": "models", "mountPath": MODEL_ROOT}.items() <= container_of(draft, container)["volumeMounts"][
            0
        ].items()
    server, fetcher = load_settings(), load_fetch_settings()[0]
    assert server.model_root == fetcher.root == Path(MODEL_ROOT)
    assert server.model_path == fetcher.root / fetcher.digest.removeprefix("sha256:")


def test_words_of_the_spec_are_words_of_the_server() -> None:
    assert {task.value for task in Task} == {task.value for task in ServerTask}
    assert {style.value for style in AddressingStyle} == {style.value for style in RepositoryAddressingStyle}
    for quantization in Quantization:
        assert Settings(quantization=quantization.value).quantization == quantization.lower()
    for dtype in DType:
        assert Settings(dtype=dtype.value).dtype == dtype.value


@EVERY_DRAFT
def test_the_image_understands_its_arguments(draft: Draft) -> None:
    for container, command in ((SERVER, "serve"), (FETCHER, "fetch")):
        assert _parse(container_of(draft, container)["args"]).command == command


# Ports, probes and pages


@pytest.fixture
async def engine(tmp_path: Path) -> Engine:
    return Engine(Settings(model_dir=tmp_path, model_digest=f"sha256:{'0' * 64}"), Metrics())


async def test_every_probe_has_a_page(engine: Engine) -> None:
    container = container_of(make_mmm(), SERVER)
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    client = TestClient(inference_app(engine))
    codes = {}
    for probe in (name for name in container if name.endswith("Probe")):
        asked = container[probe]["httpGet"]
        assert ports[asked["port"]] == Settings().http_port
        codes[probe] = client.get(asked["path"]).status_code
    # A server that loads is alive, but must get no traffic.
    assert codes == {"startupProbe": 503, "readinessProbe": 503, "livenessProbe": 200}


async def test_the_pages_of_the_operations_port_exist(engine: Engine) -> None:
    client = TestClient(operations_app(engine))
    for path in ("/metrics", "/v1/status", "/version"):
        assert client.get(path).status_code == 200
    assert Settings().operations_port == names.PORT_OPERATIONS


async def test_the_operator_reads_the_status_page_of_a_server_that_is_ready(engine: Engine) -> None:
    page = TestClient(operations_app(engine)).get("/v1/status").json()
    with pytest.raises(ValidationError):
        StatusPage.model_validate(page)  # it loads
    device = {"kind": "cuda", "name": "H200", "dtype": "bfloat16", "memoryBytes": 1, "cosine": 0.999}
    assert page["device"].keys() == device.keys()
    ready = StatusPage.model_validate({**page, "state": "READY", "device": device, "loadSeconds": 1.5})
    report = ready.report("clip-1")
    assert (report.digest, report.device, report.device_name) == (f"sha256:{'0' * 64}", "cuda", "H200")
    assert (report.dtype, report.memory_bytes, report.load_seconds) == ("bfloat16", 1, 1.5)


def test_the_metrics_that_others_read_keep_their_names() -> None:
    named = {value for name, value in vars(server_metrics).items() if name.isupper() and str(value).startswith("mmm_")}
    exposed = {metric.name for metric in Metrics().registry.collect()}
    assert {"mmm_inflight_requests", "mmm_queue_estimated_wait_seconds", "mmm_queue_depth"} <= named
    assert {name.removesuffix("_total") for name in named} >= exposed


# Reasons


def fatal_errors(of: type[server_errors.Fatal]) -> Iterator[type[server_errors.Fatal]]:
    for kind in of.__subclasses__():
        yield kind
        yield from fatal_errors(kind)


def termination_of(kind: type[server_errors.Fatal], path: Path) -> str:
    write_termination(path, FetchFailed("ModelNotFound", "why", 3) if kind is FetchFailed else kind("why"))
    return path.read_text()


@pytest.mark.parametrize("kind", [*fatal_errors(server_errors.Fatal)])
def test_every_last_word_of_the_server_becomes_the_reason(kind: type[server_errors.Fatal], tmp_path: Path) -> None:
    text = termination_of(kind, tmp_path / "log")
    trouble = diagnose(Evidence([make_pod(make_mmm()).failed(SERVER, exited(3, message=text)).build()]))
    assert trouble is not None
    assert (trouble.reason.value, trouble.message) == (json.loads(text)["reason"], "why")


def repository_reasons() -> set[str]:
    kinds = [kind for kind in vars(repository_errors).values() if isinstance(kind, type)]
    found = {kind.reason for kind in kinds if issubclass(kind, repository_errors.RepositoryError)}
    # Only who publishes or verifies meets these.
    return found - {"InvalidDirectory", "VersionExists", "NothingToVerify"}


def test_every_word_of_the_repository_is_known_to_the_operator() -> None:
    assert repository_reasons() <= {reason.value for reason in Reason}


def test_every_word_of_the_fetcher_becomes_the_reason() -> None:
    assert repository_reasons() <= OWN_WORDS.keys()


def test_the_operator_waits_for_no_word_that_nobody_says() -> None:
    said = {"InternalError", *repository_reasons(), *(kind.__name__ for kind in fatal_errors(server_errors.Fatal))}
    assert OWN_WORDS.keys() <= said


# Names


@EVERY_DRAFT
def test_the_termination_log_is_where_the_kubelet_looks(draft: Draft, clean: pytest.MonkeyPatch) -> None:
    for container in (SERVER, FETCHER):
        path = container_of(draft, container).get("terminationMessagePath", "/dev/termination-log")
        assert environment_of(draft, container)["MMM_TERMINATION_LOG"] == path
        clean.setenv("MMM_TERMINATION_LOG", path)
        assert str(TerminationSettings().path) == str(Settings().termination_log) == path


def test_the_pod_is_given_the_time_that_the_server_takes_to_end() -> None:
    grace = environment_of(EVERYTHING, SERVER)["MMM_GRACE_SECONDS"]
    pod: Manifest = make_pod(EVERYTHING).build()
    assert pod["spec"]["terminationGracePeriodSeconds"] >= int(grace)


@EVERY_DRAFT
def test_users_cannot_set_what_the_operator_sets(draft: Draft) -> None:
    """Every variable of the contract has the prefix that the API refuses in `runtime.env`."""
    assert all(name.startswith(PREFIX) for name in own_names(draft, SERVER))
    with pytest.raises(ValueError, match="belong to the operator"):
        refuse_name(f"{PREFIX}X")


def test_the_cache_has_room_for_what_the_follower_keeps() -> None:
    assert VERSIONS_SIDE_BY_SIDE == 1 + KEPT
