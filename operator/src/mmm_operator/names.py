"""Every name that the cluster sees: API group, labels, annotations, field managers, child names, ports.

One place, because these are contracts: a label that changes orphans running pods.
"""

GROUP = "serving.multimodal.dev"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"
KIND = "MultimodalModel"
PLURAL = "multimodalmodels"
SINGULAR = "multimodalmodel"
SHORT_NAME = "mmm"

FIELD_MANAGER = "mmm-operator"
STATUS_FIELD_MANAGER = "mmm-operator-status"
REPORTING_CONTROLLER = f"{GROUP}/mmm-operator"

LABEL_NAME = "app.kubernetes.io/name"
LABEL_INSTANCE = "app.kubernetes.io/instance"
LABEL_COMPONENT = "app.kubernetes.io/component"
LABEL_PART_OF = "app.kubernetes.io/part-of"
LABEL_MANAGED_BY = "app.kubernetes.io/managed-by"
LABEL_MODEL = f"{GROUP}/model"
LABEL_REVISION = f"{GROUP}/revision"
LABEL_VERSION = f"{GROUP}/version"
# A hash of the claim's name: pods that mount the same one have it in common.
LABEL_VOLUME = f"{GROUP}/volume"

ANNOTATION_DIGEST = f"{GROUP}/digest"
# Hash of the manifest that we applied last: tells "we removed a field" from "somebody added one".
ANNOTATION_APPLIED = f"{GROUP}/applied"
# What a Deployment was built with, packed, and its hash: an edited one is not believed.
ANNOTATION_BUILT = f"{GROUP}/built"
ANNOTATION_TEMPLATE = f"{GROUP}/template"
# A hash of what the operator says to a running pod: the kubelet looks again at once when it changes.
ANNOTATION_TOLD = f"{GROUP}/told"
# The uid of the MultimodalModel: tells whose a child is when somebody took its ownerReferences away.
ANNOTATION_OWNER = f"{GROUP}/owner"

# "spec" where the spec named the server image; absent where it was the operator's default at the time.
ANNOTATION_IMAGE_FROM = f"{GROUP}/image-from"
IMAGE_FROM_SPEC = "spec"

APP_NAME = "multimodal-model"
# Pods that only fetch bear another name than those that serve: no Service, budget or autoscaler may count them.
FETCH_APP_NAME = "multimodal-model-fetch"
COMPONENT_FETCHER = "fetcher"
MANAGED_BY = FIELD_MANAGER

CONTAINER_SERVER = "server"
CONTAINER_FETCHER = "model-fetcher"
VOLUME_MODELS = "models"
VOLUME_CA = "store-ca"
VOLUME_TMP = "tmp"
# What the operator says to running pods.
VOLUME_ROLLOUT = "rollout"

PORT_HTTP = 8080
PORT_OPERATIONS = 8081
# Of a fetcher that stays beside the server.
PORT_FETCHER = 8082
PORT_NAME_HTTP = "http"
PORT_NAME_OPERATIONS = "operations"

# Child names append "-" and eight hex digits; a Service name may have 63 characters, a label value too.
MAX_NAME_LENGTH = 40
REVISION_LENGTH = 8


def child_labels(name: str) -> dict[str, str]:
    """Labels of everything that belongs to the MultimodalModel `name`."""
    return {
        LABEL_NAME: APP_NAME,
        LABEL_INSTANCE: name,
        LABEL_COMPONENT: "server",
        LABEL_PART_OF: "multimodal-operator",
        LABEL_MANAGED_BY: MANAGED_BY,
        LABEL_MODEL: name,
    }


def pod_selector(name: str) -> dict[str, str]:
    """The labels that select all server pods of `name`, of whatever revision; never changes."""
    return {LABEL_NAME: APP_NAME, LABEL_MODEL: name}


def revision_selector(name: str, revision: str) -> dict[str, str]:
    """The labels that select the server pods of one revision; immutable in a Deployment."""
    return {**pod_selector(name), LABEL_REVISION: revision}


def selector_text(labels: dict[str, str]) -> str:
    """`labels` as the API server's query parameter and the scale subresource write them."""
    return ",".join(f"{key}={value}" for key, value in sorted(labels.items()))


def deployment_name(name: str, revision: str) -> str:
    """Name of the Deployment of one revision."""
    return f"{name}-{revision}"


def fetch_labels(name: str) -> dict[str, str]:
    """Labels of the pods that only fetch the model `name`."""
    return {**child_labels(name), LABEL_NAME: FETCH_APP_NAME, LABEL_COMPONENT: COMPONENT_FETCHER}


def fetch_job_name(name: str, fetch: str) -> str:
    """Name of the Job that brings a digest to the cache claim; `fetch` names all that decides what it does."""
    return f"{name}-fetch-{fetch}"


def preview_name(name: str, revision: str) -> str:
    """Name of the Service over the pods of one revision, while it does not have all the traffic."""
    return f"{name}-{revision}"


def rollout_config_name(name: str) -> str:
    """Name of the ConfigMap by which running pods are told what to do."""
    return f"{name}-rollout"


def claim_name(name: str) -> str:
    """Name of the model cache claim that the operator makes from `cache.claimTemplate`."""
    return f"{name}-models"


def service_url(name: str, namespace: str, port: int) -> str:
    """The address that applications use inside the cluster."""
    return f"http://{name}.{namespace}.svc" + ("" if port == 80 else f":{port}")


def short_digest(digest: str) -> str:
    """The first twelve hex digits of a digest, for people."""
    return digest.removeprefix("sha256:")[:12]
