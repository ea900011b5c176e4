"""Tests and demos run against the cluster that the user or the machine decides on."""

from pathlib import Path

import pytest

from dev.localcluster import ClusterError, LocalCluster
from dev.localcluster.choose import Cluster, choose, docker_answers
from dev.localcluster.outside import CurrentCluster, KindCluster


@pytest.mark.parametrize(
    ("wanted", "kind"), [("local", LocalCluster), ("kind", KindCluster), ("current", CurrentCluster)]
)
def test_user_decides(tmp_path: Path, wanted: str, kind: type[Cluster]) -> None:
    assert isinstance(choose(tmp_path, {"MMM_CLUSTER": wanted}), kind)


@pytest.mark.parametrize("environment", [{}, {"MMM_CLUSTER": ""}, {"MMM_CLUSTER": "auto"}])
def test_machine_decides_when_the_user_says_nothing(tmp_path: Path, environment: dict[str, str]) -> None:
    assert isinstance(choose(tmp_path, environment), KindCluster if docker_answers() else LocalCluster)


def test_unknown_choice_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match="auto, local, kind or current"):
        choose(environment={"MMM_CLUSTER": "kin"})


def test_current_cluster_keeps_its_capacity(tmp_path: Path) -> None:
    cluster = choose(environment={"MMM_CLUSTER": "current", "KUBECONFIG": str(tmp_path / "config")})
    assert cluster.kubeconfig == tmp_path / "config"
    with pytest.raises(ClusterError, match="not changed"):
        cluster.set_gpus(2)
