"""A real Kubernetes cluster on one machine, without a container engine: for tests, for demos, for trying things."""

from dev.localcluster.cluster import ClusterError, LocalCluster

__all__ = ["ClusterError", "LocalCluster"]
