"""The rules that hold between fields, in CEL, each with what to write instead.

The API server checks them, so no admission webhook is needed. `replicas` together with `autoscaling`
is no mistake: the HorizontalPodAutoscaler itself writes `spec.replicas`.
"""

from typing import Any

from mmm_operator import names
from mmm_operator.api.base import cel, instead
from mmm_operator.api.environment import name_rules, value_rules

OBJECT: dict[str, Any] = cel(
    (
        f"size(self.metadata.name) <= {names.MAX_NAME_LENGTH}",
        f"metadata.name must have at most {names.MAX_NAME_LENGTH} characters, since child names append a revision: "
        "write a shorter one",
    ),
    (
        "self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')",
        "metadata.name names the Service: write lower-case letters, digits and '-', a letter first, and no '.'",
    ),
)

SPEC: dict[str, Any] = cel(
    (
        "!has(self.rollout) || self.rollout.type != 'HotSwap' || self.model.uri.startsWith('s3://')"
        " && (!has(self.cache) || self.cache.type == 'EmptyDir')",
        "HotSwap brings each version into the running pods: write a uri that begins with s3:// and remove cache, or"
        " write another rollout.type",
    ),
    (
        "!has(self.rollout) || self.rollout.type != 'HotSwap' || !has(self.runtime) || !has(self.runtime.image)",
        "HotSwap needs the operator's own server: remove runtime.image, or write another rollout.type",
    ),
    (
        "self.model.uri.startsWith('s3://') || !has(self.cache) || self.cache.type == 'EmptyDir'"
        " && !has(self.cache.sizeLimit)",
        "a claim or an image is served where it is, without a copy: remove cache",
    ),
    (
        "self.model.uri.startsWith('s3://') || !has(self.storage) || !(has(self.storage.endpoint)"
        " || has(self.storage.region) || has(self.storage.credentialsSecretRef) || has(self.storage.caBundle))",
        "storage says how to reach a bucket, and this uri names none: remove storage, or write s3:// in uri",
    ),
    (
        "!has(self.autoscaling) || !self.autoscaling.metrics.exists(metric, metric.type == 'CPU')"
        " || !has(self.resources.requests) || size(self.resources.requests) == 0 || 'cpu' in self.resources.requests"
        " || (has(self.resources.limits) && 'cpu' in self.resources.limits)",
        "the metric CPU is in percent of the CPU request: add cpu to resources.requests, for instance cpu: 500m",
    ),
    (
        "!has(self.accelerator) || !(has(self.resources.requests) && self.accelerator.resourceName in"
        " self.resources.requests || has(self.resources.limits) && self.accelerator.resourceName in"
        " self.resources.limits)",
        "accelerator already asks for the device: remove it from resources, and write the number in accelerator.count",
    ),
    (
        "has(self.accelerator) || !(has(self.resources.requests) && self.resources.requests.exists(name,"
        " name.endsWith('/gpu')) || has(self.resources.limits) && self.resources.limits.exists(name,"
        " name.endsWith('/gpu')))",
        "ask for devices with accelerator: {resourceName: nvidia.com/gpu, count: 1}, not in resources",
    ),
)

MODEL: dict[str, Any] = cel(
    (
        "self.uri.startsWith('s3://') || self.updatePolicy != 'Auto'",
        "only a bucket can be followed: write version and updatePolicy: Manual, or a uri that begins with s3://",
    ),
    (
        "self.uri.startsWith('s3://') || has(self.digest)",
        "only the pods can look into a claim or an image: write digest, as `mmm publish` and `mmm verify` print it",
    ),
    (
        "self.updatePolicy == 'Auto' || has(self.version)",
        "version is required: write the version to serve, or updatePolicy: Auto to follow the newest one",
    ),
    (
        "self.updatePolicy != 'Auto' || !has(self.version) && !has(self.digest)",
        "updatePolicy: Auto follows the newest version: remove version and digest, or write updatePolicy: Manual",
    ),
)

STORAGE: dict[str, Any] = cel(
    (
        "!self.insecureSkipTLSVerify || !has(self.endpoint) || self.endpoint.startsWith('https://')",
        "insecureSkipTLSVerify only applies to https:// endpoints: remove it, or write https:// in endpoint",
    ),
)

CA_BUNDLE: dict[str, Any] = cel(
    (
        "has(self.configMapKeyRef) != has(self.secretKeyRef)",
        "write where the certificates are: configMapKeyRef or secretKeyRef, and not both",
    ),
)

CACHE: dict[str, Any] = cel(
    (
        "self.type != 'PersistentVolumeClaim' || has(self.claimName) != has(self.claimTemplate)",
        "type PersistentVolumeClaim needs claimName or claimTemplate, and not both",
    ),
    (
        "self.type == 'PersistentVolumeClaim' || !(has(self.claimName) || has(self.claimTemplate))",
        "claimName and claimTemplate need type: PersistentVolumeClaim",
    ),
    (
        "self.type == 'EmptyDir' || !has(self.sizeLimit)",
        "sizeLimit only applies to type EmptyDir: write the size in claimTemplate, or remove sizeLimit",
    ),
    (
        "!has(self.retainVersions) || has(self.claimTemplate)",
        "retainVersions needs claimTemplate: what lies on a claim of your own may belong to others",
    ),
)

CLAIM_TEMPLATE: dict[str, Any] = cel(
    (
        "quantity(string(self.size)).compareTo(quantity(string(oldSelf.size))) >= 0",
        "a volume cannot shrink: keep size, or write a larger one; to take back a size that was refused, write "
        "type: EmptyDir first and then the claimTemplate anew",
    ),
    (
        "self.accessMode == oldSelf.accessMode && has(self.storageClassName) == has(oldSelf.storageClassName)"
        " && (!has(self.storageClassName) || self.storageClassName == oldSelf.storageClassName)",
        "accessMode and storageClassName of a claim cannot change: make another claim and write its name in claimName",
    ),
)

RESOURCES: dict[str, Any] = cel(
    (
        "!has(self.requests) || !has(self.limits) || self.requests.all(name, !(name in self.limits) || "
        "quantity(string(self.requests[name])).compareTo(quantity(string(self.limits[name]))) <= 0)",
        "a request must not exceed its limit: raise the limit, or lower the request",
    ),
)

AUTOSCALING: dict[str, Any] = cel(
    (
        "self.minReplicas <= self.maxReplicas",
        "minReplicas must not exceed maxReplicas: raise maxReplicas, or lower minReplicas",
    ),
)

ROLLOUT: dict[str, Any] = cel(
    (
        "self.progressDeadlineSeconds > self.minReadySeconds",
        "progressDeadlineSeconds must exceed minReadySeconds, or no rollout could ever finish: raise it",
    ),
    (
        "self.type == 'Canary' || !has(self.canary)",
        "canary only applies to type Canary: write type: Canary, or remove canary",
    ),
    (
        "self.type != 'Canary' || has(self.canary)",
        "type Canary needs steps: write canary: {steps: [{weight: 20, pauseSeconds: 300}]}",
    ),
    (
        "self.whenNoCapacity != 'ReplaceInPlace' || self.maxUnavailable > 0",
        "ReplaceInPlace takes a pod away before its successor answers: write maxUnavailable: 1, or"
        " whenNoCapacity: Wait",
    ),
)

CANARY: dict[str, Any] = cel(
    (
        "self.steps.map(step, step.weight).isSorted()"
        " && self.steps.all(step, self.steps.exists_one(other, other.weight == step.weight))",
        "each step must have more weight than the one before: sort steps by weight, and write each weight once",
    ),
    (
        "self.mirror || !has(self.minAgreementPercent)",
        "only mirrored answers can be compared: write mirror: true, or remove minAgreementPercent",
    ),
)

_OURS = f"key, key.startsWith('{names.GROUP}/') || key.startsWith('app.kubernetes.io/')"

SERVICE: dict[str, Any] = cel(
    (
        f"!has(self.labels) || !self.labels.exists({_OURS})",
        f"labels under app.kubernetes.io/ and {names.GROUP}/ belong to the operator: write a prefix of your own",
    ),
    (
        f"!has(self.annotations) || !self.annotations.exists({_OURS})",
        f"annotations under app.kubernetes.io/ and {names.GROUP}/ belong to the operator: write a prefix of your own",
    ),
)

ENV_NAME: dict[str, Any] = {
    **name_rules(),
    **instead("write letters, digits and '_', and no digit first, for instance OMP_NUM_THREADS"),
}
LITERAL: dict[str, Any] = value_rules()

RUNTIME: dict[str, Any] = cel(
    (
        "!has(self.args) || size(self.args) == 0 || has(self.image)",
        "the operator's own server takes no arguments: use the other fields of spec.runtime, or write your own image",
    ),
)

PEER: dict[str, Any] = cel(
    (
        "has(self.namespaceSelector) || has(self.podSelector) || has(self.ipBlock)",
        "write whom you mean: namespaceSelector, podSelector or ipBlock",
    ),
    (
        "!has(self.ipBlock) || !(has(self.namespaceSelector) || has(self.podSelector))",
        "addresses are no pods: write ipBlock in an item of its own",
    ),
)
CIDR: dict[str, Any] = {
    **cel(("isCIDR(self)", "write a range of addresses, for instance 10.0.0.0/8 or 2001:db8::/32")),
    **instead("write a range of addresses, for instance 10.0.0.0/8 or 2001:db8::/32"),
}

POD_METADATA: dict[str, Any] = SERVICE

URI: dict[str, Any] = {
    **cel(("!self.contains('..')", "uri must not contain '..': write the whole path")),
    **instead(
        "write s3://bucket/prefix, pvc://claim/path or oci://registry/repository: a name in lower case, then a path "
        "without spaces, '//' or a '/' at its end, for instance s3://models/clip"
    ),
}

NAME = instead(
    "write the name alone, without a namespace: lower-case letters, digits, '-' and '.', for instance clip-models"
)
SECRET_KEY = instead("write a key of the object: letters, digits, '-', '_' and '.'")
LABEL_VALUE = instead("write letters and digits, with '.', '_' and '-' between them")
VERSION = instead(
    "write the name of the version's directory, for instance 2 or 2026-11-21: "
    "letters and digits, with '.', '_' and '-' between them"
)
DIGEST = instead("write sha256: and 64 lower-case hex digits, as status.model.current.digest shows them")
SERVED_NAME = instead("write letters and digits, with '.', '_', '/' and '-' between them, for instance acme/clip-b32")
ENDPOINT = instead("write http://host:port or https://host:port, without a path, a user or a '/' at its end")
REGION = instead("write a region such as eu-central-1: letters, digits and '-'")
DEVICE = instead("write the resource of the device plug-in, for instance nvidia.com/gpu")
IMAGE = instead("write an image reference without spaces, for instance registry:5000/server:1.0")
PROMOTE = instead("write the eight hex digits of status.model.target.revision, or use `mmm rollout promote`")
