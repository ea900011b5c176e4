"""Cache, busy meter, processors, settings: the parts that need one table each."""

from pathlib import Path

import numpy as np
import pytest

from mmm_server.cpus import usable_cpus
from mmm_server.engine.busy import BusyMeter
from mmm_server.engine.cache import VectorCache
from mmm_server.errors import BadSettings
from mmm_server.settings import load_settings

VECTOR = np.zeros(2, dtype=np.float32)


def test_the_cache_forgets_what_was_unused_for_longest() -> None:
    cache = VectorCache(max_items=2)
    cache.put("a", VECTOR)
    cache.put("b", VECTOR)
    assert cache.get("a") is not None
    cache.put("c", VECTOR)
    assert cache.get("b") is None
    assert cache.get("a") is not None


def test_a_cache_of_size_zero_remembers_nothing() -> None:
    cache = VectorCache(max_items=0)
    cache.put("a", VECTOR)
    assert cache.get("a") is None


def test_a_cache_bounded_by_bytes_never_holds_more() -> None:
    cache = VectorCache(max_bytes=3 * VECTOR.nbytes)
    for key in "abcabcd":
        cache.put(key, VECTOR)
    assert [cache.get(key) is not None for key in "abcd"] == [False, True, True, True]
    cache.put("large", np.zeros(100, dtype=np.float32))
    assert cache.get("large") is None


def test_the_busy_meter_counts_the_last_seconds_only() -> None:
    meter = BusyMeter()
    meter.add(100.2, 103.2)
    assert meter.ratio(105.0) == pytest.approx(0.3)
    assert meter.ratio(111.5) == pytest.approx(0.12), "the seconds 100 and 101 have left the window"
    assert meter.ratio(200.0) == 0.0


def test_a_batch_longer_than_the_window_is_all_busy() -> None:
    meter = BusyMeter()
    meter.add(0.0, 50.0)
    assert meter.ratio(49.9) == pytest.approx(0.9, abs=0.11)


def write(root: Path, files: dict[str, str]) -> Path:
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return root


@pytest.mark.parametrize(
    ("groups", "files", "cpus"),
    [
        ("", {}, 8),
        ("0::/", {"cpu.max": "max 100000"}, 8),
        ("0::/", {"cpu.max": "300000 100000"}, 3),
        ("0::/", {"cpu.max": "350000 100000"}, 3),
        ("0::/", {"cpu.max": "20000 100000"}, 1),
        ("0::/pod/x", {"pod/x/cpu.max": "200000 100000"}, 2),
        ("4:cpu,x:/pod", {"cpu,x/pod/cpu.cfs_quota_us": "400000", "cpu,x/pod/cpu.cfs_period_us": "100000"}, 4),
        ("1:cpu:/", {"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, 8),
        ("1:cpu:/", {"cpu/cpu.cfs_quota_us": "500000", "cpu/cpu.cfs_period_us": "100000"}, 5),
        ("9:memory:/x\n0::/", {"cpu.max": "600000 100000"}, 6),
    ],
)  # fmt: skip
def test_processors_are_those_of_the_cgroup(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, groups: str, files: dict[str, str], cpus: int
) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(8)))
    own = write(tmp_path, {"own": groups}) / "own"
    assert usable_cpus(write(tmp_path / "cgroup", files), own) == cpus


def test_affinity_bounds_the_quota(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {3})
    assert usable_cpus(write(tmp_path, {"cpu.max": "800000 100000"}), tmp_path / "none") == 1


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    monkeypatch.setenv("MMM_MODEL_DIGEST", "sha256:" + "a" * 64)
    return monkeypatch


def test_an_empty_variable_counts_as_unset(environment: pytest.MonkeyPatch) -> None:
    for name in ("MMM_MODEL_TASKS", "MMM_MAX_BATCH_SIZE", "MMM_MAX_TEXT_TOKENS", "MMM_HTTP_PORT", "MMM_DTYPE"):
        environment.setenv(name, "")
    settings = load_settings()
    assert (settings.model_tasks, settings.max_batch_size, settings.http_port) == ((), None, 8080)
    assert settings.model_path == Path("/models") / ("a" * 64)


def test_tasks_are_a_comma_list(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("MMM_MODEL_TASKS", "ImageEmbedding, TextEmbedding")
    assert load_settings().model_tasks == ("ImageEmbedding", "TextEmbedding")


def test_a_server_without_a_model_says_which_setting_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MMM_MODEL_DIGEST", raising=False)
    with pytest.raises(BadSettings, match="MMM_MODEL_DIGEST is not set"):
        load_settings()
