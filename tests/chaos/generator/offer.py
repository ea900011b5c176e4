"""What the cluster of the chains offers, and which values of a field therefore can come true there."""

from dataclasses import dataclass
from typing import Any

from tests.chaos.canary import ENVIRONMENT
from tests.chaos.generator.rollout import KNOWN_OF_ROLLOUT
from tests.chaos.generator.schema import ITEM, VALUE, Field, Spec
from tests.chaos.generator.values import plain_values
from tests.integration.bucket import BUCKET, Bucket

URIS = (f"s3://{BUCKET}/fox", f"s3://{BUCKET}/owl")
# Versions that a YAML parser or a careless comparison would take for something else are among them.
VERSIONS = ("1", "2", "007", "1e3", "null")
# Published, but chosen by hopeless moves only.
UNSEEN = "3"
NEWEST = "007"
PRIORITY_CLASS = "chaos-high"
SERVICE_ACCOUNT = "chaos-server"
RUNTIME_CLASS = "chaos-runtime"
TOOL = "registry.example/tool:1"
SECRETS = ("s3", "s3-again")
# ConfigMaps and Secrets with certificates under each of these keys.
TRUST = ("trust", "trust-again")
TRUST_KEYS = ("ca.crt", "tls.crt")
SESSION_TOKEN = "SESSION_TOKEN"
OTHER_KEYS = {"accessKeyIDKey": "id.of-key", "secretAccessKeyKey": "secret_of.key"}

# Without these the model is sought elsewhere.
NEEDED = frozenset({"storage.endpoint"})

Path = tuple[str, ...]


@dataclass(frozen=True)
class Offer:
    """Where the model repository is, and the digest of each of its versions."""

    bucket: Bucket
    digests: dict[tuple[str, str], str]

    @classmethod
    def publish(cls, bucket: Bucket) -> "Offer":
        """Every version under every uri, in a bucket that is empty."""
        found = {
            (uri, version): bucket.publish(uri.rpartition("/")[2], version)
            for uri in URIS
            for version in (*VERSIONS, UNSEEN)
        }
        return cls(bucket, found)

    def start(self) -> Spec:
        """A spec that can come true."""
        return {"model": {"uri": URIS[0], "version": "1"}, "storage": self.bucket.storage, "replicas": 1}

    def digest(self, spec: Spec) -> str | None:
        """The digest that the version of a spec has."""
        return self.digests.get((spec["model"]["uri"], spec["model"].get("version", NEWEST)))

    def values(self, field: Field) -> list[Any]:
        """Values that can come true; those that have a meaning are known here, the others follow from the schema."""
        known = self._known().get(str(field))
        return list(known if known is not None else _plain(field))

    def _known(self) -> dict[str, tuple[Any, ...]]:
        port = self.bucket.server.bound_port
        return {
            "model.uri": URIS,
            "model.version": VERSIONS,
            "model.digest": (),  # belongs to a version: see `coupled`
            "storage.endpoint": (f"http://127.0.0.1:{port}", f"http://localhost:{port}"),
            "storage.region": (self.bucket.server.region,),
            "storage.addressingStyle": ("Auto", "Path"),
            "storage.credentialsSecretRef.name": SECRETS,
            "storage.credentialsSecretRef.accessKeyIDKey": ("AWS_ACCESS_KEY_ID", OTHER_KEYS["accessKeyIDKey"]),
            "storage.credentialsSecretRef.secretAccessKeyKey": (
                "AWS_SECRET_ACCESS_KEY",
                OTHER_KEYS["secretAccessKeyKey"],
            ),
            "storage.credentialsSecretRef.sessionTokenKey": (SESSION_TOKEN,),
            **{f"storage.caBundle.{kind}.name": TRUST for kind in ("configMapKeyRef", "secretKeyRef")},
            **{f"storage.caBundle.{kind}.key": TRUST_KEYS for kind in ("configMapKeyRef", "secretKeyRef")},
            "storage.insecureSkipTLSVerify": (False,),
            "accelerator.resourceName": ("nvidia.com/gpu", "nvidia.com/mig-1g.10gb", "example.com/device"),
            "replicas": (0, 1, 2, 3),
            "autoscaling.minReplicas": (1, 2),
            "autoscaling.maxReplicas": (1, 2, 4, 1000),
            "rollout.minReadySeconds": (0, 1, 2),
            "rollout.progressDeadlineSeconds": (300, 901, 86400),
            "serviceAccountName": ("default", SERVICE_ACCOUNT),
            "priorityClassName": (PRIORITY_CLASS,),
            "runtime.env.[].value": (*_strings(), ENVIRONMENT),
            "service.annotations.*": _strings(),
            "cache.claimTemplate.size": ("1Gi", "1024Mi", 1073741824),  # an unbound claim cannot grow
            "resources.requests.*": ("100m", "1", 1, "0.5", "1000m"),
            "resources.limits.*": ("2", 4, "4000m", "2.5"),
            **KNOWN_OF_ROLLOUT,
            **_KNOWN_OF_NETWORK,
            **_KNOWN_OF_PODS,
        }


_KNOWN_OF_NETWORK: dict[str, tuple[Any, ...]] = {
    "networkPolicy.clients.[].ipBlock.cidr": ("10.0.0.0/8", "2001:db8::/32"),
    "networkPolicy.clients.[].ipBlock.except": (["10.1.0.0/16"], ["10.1.0.0/16", "10.2.0.0/24"], []),
    "networkPolicy.storagePorts": ([7070], [9000, 443], []),
}
_ZONE = "topology.kubernetes.io/zone"
_SOMEWHERE = {"matchExpressions": [{"key": _ZONE, "operator": "In", "values": ["a", "b"]}]}
_KNOWN_OF_PODS: dict[str, tuple[Any, ...]] = {
    "podTemplate.spec.nodeSelector.*": ("pool-a", "1e3", "true"),
    "podTemplate.spec.tolerations": (
        [{"key": "team.example/only", "operator": "Exists", "effect": "NoSchedule"}],
        [{"key": "team.example/only", "operator": "Equal", "value": "a"}, {"operator": "Exists"}],
    ),
    "podTemplate.spec.affinity": (
        {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [_SOMEWHERE]}}},
    ),
    "podTemplate.spec.topologySpreadConstraints": (
        [{"topologyKey": _ZONE, "maxSkew": 2, "whenUnsatisfiable": "ScheduleAnyway"}],
        [{"topologyKey": _ZONE, "maxSkew": 1, "whenUnsatisfiable": "DoNotSchedule"}],
    ),
    "podTemplate.spec.volumes.[].name": ("scratch", "more-scratch"),
    "podTemplate.spec.initContainers.[].name": ("prepare", "wait"),
    "podTemplate.spec.initContainers.[].image": (TOOL, "registry.example/tool:2"),
    "podTemplate.spec.containers.[].name": ("sidecar", "proxy"),
    "podTemplate.spec.containers.[].image": (TOOL, "registry.example/tool:2"),
    "podTemplate.spec.runtimeClassName": (RUNTIME_CLASS,),
    "podTemplate.spec.schedulerName": ("default-scheduler",),  # nobody else is there
    "podTemplate.spec.dnsConfig": (
        {"options": [{"name": "ndots", "value": "2"}]},
        {"nameservers": ["10.0.0.10"], "searches": ["team.example"]},
    ),
    "podTemplate.spec.hostAliases": ([{"ip": "10.0.0.1", "hostnames": ["store.example", "null"]}],),
}


def _strings() -> tuple[Any, ...]:
    return tuple(plain_values({"type": "string", "maxLength": 4096}))


def _plain(field: Field) -> list[Any]:
    if field.schema.get("type") == "array":
        items = plain_values(field.schema["items"])[: field.schema.get("maxItems")]
        return [items[:1], items, items[::-1][:2]]
    return plain_values(field.schema)


KEYS: dict[Path, str] = {
    ("resources", "requests", VALUE): "cpu",
    ("resources", "limits", VALUE): "cpu",
    ("service", "labels", VALUE): "team.example/tier",
    ("service", "annotations", VALUE): "team.example/note",
    ("podTemplate", "metadata", "labels", VALUE): "team.example/tier",
    ("podTemplate", "metadata", "annotations", VALUE): "team.example/note",
    ("podTemplate", "spec", "nodeSelector", VALUE): "team.example/pool",
}


def concrete(path: Path) -> Path:
    """`path` with a key in place of each `*`."""
    return tuple(KEYS.get(path[: i + 1], "chaos") if step == VALUE else step for i, step in enumerate(path))


def is_listed(field: Field) -> bool:
    """Whether the field belongs to an item of a list."""
    return ITEM in field.path
