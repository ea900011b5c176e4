"""The environment of the pod's containers: the contract with the server, checked by `tests/contract`."""

from mmm_operator import names
from mmm_operator.api.source import mounted_source
from mmm_operator.api.storage import CredentialsSecretRef
from mmm_operator.api.v1alpha1 import Fallback, MultimodalModel, Quantization
from mmm_operator.builders.ending import grace_seconds
from mmm_operator.quantity import parse_quantity
from mmm_operator.revision import Revision
from mmm_operator.settings import Settings
from mmm_operator.snapshot import Manifest

MODEL_ROOT = "/models"
CA_FILE = "/etc/multimodal/ca/ca.crt"
ROLLOUT_DIR = "/etc/multimodal/rollout"


def build_server_environment(mmm: MultimodalModel, revision: Revision, settings: Settings) -> list[Manifest]:
    """Environment of the server container. It gets no credentials: only the fetcher needs them."""
    runtime, accelerator = mmm.spec.runtime, mmm.spec.accelerator
    must_accelerate = accelerator is not None and accelerator.fallback is Fallback.FAIL
    values = {
        **_shared(mmm, revision),
        "MMM_ROLLOUT_DIR": ROLLOUT_DIR,
        "MMM_HOT_SWAP": "true" if revision.swaps else "",
        "MMM_MODEL_TASKS": ",".join(mmm.spec.model.tasks),
        "MMM_DTYPE": runtime.dtype.value,
        # Only where it is asked for: pods of before the field was there keep their template, and so are not replaced.
        "MMM_QUANTIZATION": "" if runtime.quantization is Quantization.NONE else runtime.quantization.value,
        "MMM_DEVICE": "auto" if accelerator else "cpu",
        "MMM_REQUIRE_ACCELERATOR": "true" if must_accelerate else "false",
        "MMM_MAX_BATCH_SIZE": str(runtime.max_batch_size or ""),
        "MMM_MAX_QUEUE_SECONDS": str(runtime.max_queue_seconds),
        "MMM_DRAIN_DELAY_SECONDS": str(settings.drain_delay_seconds),
        # The deletion itself takes a pod out of traffic, unless there is no other: then it is better than none.
        "MMM_READY_WHILE_DRAINING": "true",
        "MMM_GRACE_SECONDS": str(grace_seconds(mmm.spec.runtime, settings)),
        "MMM_HTTP_PORT": str(names.PORT_HTTP),
        "MMM_OPERATIONS_PORT": str(names.PORT_OPERATIONS),
        # Idle OpenMP threads that spin steal the cores from their neighbours.
        "OMP_WAIT_POLICY": "passive",
    }
    own = [{"name": item.name, "value": item.value} for item in runtime.env]
    named = {item.name for item in runtime.env}  # a name twice is refused by server-side apply
    return [*(item for item in build_literals(values) if item["name"] not in named), *own]


def build_fetcher_environment(mmm: MultimodalModel, revision: Revision) -> list[Manifest]:
    """Environment of the init container that brings the model into the pod, or checks the one that is mounted."""
    storage, size_limit = mmm.spec.storage, mmm.spec.cache.size_limit
    mounted = mounted_source(mmm.spec.model.uri) is not None
    values = {
        **_shared(mmm, revision),
        "MMM_ROLLOUT_DIR": ROLLOUT_DIR if revision.swaps else "",
        "MMM_HOT_SWAP": "true" if revision.swaps else "",
        "MMM_SOURCE_URI": "" if mounted else mmm.spec.model.uri,
        "MMM_MODEL_IN_PLACE": "true" if mounted else "",
        "MMM_S3_ENDPOINT": storage.endpoint or "",
        "MMM_S3_REGION": storage.region or "",
        "MMM_S3_ADDRESSING_STYLE": storage.addressing_style.value,
        "MMM_S3_CA_FILE": CA_FILE if storage.ca_bundle else "",
        "MMM_S3_INSECURE_SKIP_TLS_VERIFY": "true" if storage.insecure_skip_tls_verify else "",
        "MMM_OPERATIONS_PORT": str(names.PORT_FETCHER if revision.swaps else names.PORT_OPERATIONS),
        "MMM_MAX_MODEL_BYTES": str(int(parse_quantity(size_limit) or 0)) if size_limit else "",
    }
    secret = storage.credentials_secret_ref
    return [*build_literals(values), *(_credentials(secret) if secret else ())]


def _shared(mmm: MultimodalModel, revision: Revision) -> dict[str, str]:
    return {
        "MMM_MODEL_ROOT": MODEL_ROOT,
        "MMM_MODEL_NAME": mmm.spec.model.served_name or mmm.metadata.name,
        "MMM_MODEL_VERSION": revision.version,
        "MMM_MODEL_DIGEST": revision.digest,
        "MMM_TERMINATION_LOG": "/dev/termination-log",
    }


def build_literals(values: dict[str, str]) -> list[Manifest]:
    """Variables with these values; an empty one is left out."""
    return [{"name": name, "value": value} for name, value in values.items() if value]


def _credentials(secret: CredentialsSecretRef) -> list[Manifest]:
    keys = {
        "AWS_ACCESS_KEY_ID": secret.access_key_id_key,
        "AWS_SECRET_ACCESS_KEY": secret.secret_access_key_key,
        "AWS_SESSION_TOKEN": secret.session_token_key,
    }
    return [
        {"name": name, "valueFrom": {"secretKeyRef": {"name": secret.name, "key": key}}}
        for name, key in keys.items()
        if key
    ]
