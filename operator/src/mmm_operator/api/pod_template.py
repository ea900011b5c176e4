"""What a user adds to the pods: an overlay in Kubernetes' own words.

Its parts are typed as far as rules look at them, and kept as they are below: inlining core/v1 would make the CRD twenty
times as large, and tie it to one Kubernetes version.
"""

from typing import Annotated, Any

from pydantic import AfterValidator, ConfigDict, Field, WithJsonSchema
from pydantic_core import PydanticCustomError

from mmm_operator.api import pod_rules, rules
from mmm_operator.api.base import LIST_ATOMIC, ApiModel, cel, list_map
from mmm_operator.api.scalars import AnnotationMap, LabelMap

Schema = dict[str, Any]


def _opaque(description: str) -> Schema:
    return {"type": "object", "x-kubernetes-preserve-unknown-fields": True, "description": description}


def _text(description: str, most: int = 253) -> Schema:
    return {"type": "string", "maxLength": most, "description": description}


def _list(description: str, items: Schema, most: int, **merge: Any) -> Schema:
    return {"type": "array", "maxItems": most, "description": description, "items": items, **(merge or LIST_ATOMIC)}


def _named(description: str, **properties: Schema) -> Schema:
    name = {**_text("Its name.", 63), "minLength": 1}
    return {**_opaque(description), "required": ["name"], "properties": {"name": name, **properties}}


_FLAG: Schema = {"type": "boolean"}
_PRIVILEGES = {
    **_opaque("As in core/v1, as far as the pod stays restricted."),
    "properties": {"privileged": {**_FLAG, "description": "Refused."}},
    **cel(("!has(self.privileged) || !self.privileged", pod_rules.NO_PRIVILEGES)),
}
_VOLUME = {
    **_named("As in core/v1.", hostPath=_opaque("Refused.")),
    **cel(
        (f"!(self.name in {list(pod_rules.OUR_VOLUMES)})", pod_rules.VOLUME_IS_OURS),
        ("!has(self.hostPath)", pod_rules.NO_HOST_PATH),
    ),
}


def _containers(description: str, ours: str, others: str) -> Schema:
    container = {
        **_named("As in core/v1.", image=_text("Its image.", 1024), securityContext=_PRIVILEGES),
        **cel(
            (f"self.name != '{ours}' || !(has(self.image) || has(self.securityContext))", pod_rules.SERVER_IS_OURS),
            (f"self.name != '{others}'", f"{others} belongs to the operator: write another name"),
            (f"self.name == '{ours}' || has(self.image)", "write the image of the container"),
        ),
    }
    return _list(description, container, 8, **list_map("name"))


def _refused() -> dict[str, Schema]:
    schemas: dict[str, Schema] = {
        "boolean": _FLAG,
        "string": {"type": "string", "maxLength": 253},
        "integer": {"type": "integer", "minimum": 0, "maximum": 2**31 - 1},
        "object": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
        "array": {"type": "array", "maxItems": 64, "items": _opaque("Refused."), **LIST_ATOMIC},
    }
    return {
        field: {**schemas[type_], "description": f"Refused: {instead}."}
        for field, (type_, instead) in pod_rules.REFUSED.items()
    }


_NODE_SELECTOR: Schema = {
    "type": "object",
    "maxProperties": 32,
    "additionalProperties": {"type": "string", "maxLength": 63},
    "description": "Labels of the nodes that may run the pods.",
}
_SPEC: Schema = {
    **_opaque("The pod's own fields, as in core/v1."),
    "properties": {
        "nodeSelector": _NODE_SELECTOR,
        "tolerations": _list("Taints to bear, beside that of the accelerator.", _opaque("As in core/v1."), 32),
        "affinity": _opaque("Which nodes, and which neighbours, as in core/v1."),
        "topologySpreadConstraints": _list(
            "How to spread, as in core/v1; without a labelSelector: the pods of one revision.",
            _opaque("As in core/v1."),
            8,
        ),
        "volumes": _list("More volumes, as in core/v1.", _VOLUME, 32, **list_map("name")),
        "initContainers": _containers(
            "Containers that run before the model is fetched, as in core/v1; model-fetcher: more volumeMounts for it.",
            "model-fetcher",
            "server",
        ),
        "containers": _containers(
            "Containers beside the server, as in core/v1; server: more volumeMounts for it.",
            "server",
            "model-fetcher",
        ),
        "runtimeClassName": _text("RuntimeClass of the pods."),
        "schedulerName": _text("Who schedules the pods."),
        "dnsPolicy": {
            "type": "string",
            "enum": ["ClusterFirst", "ClusterFirstWithHostNet", "Default", "None"],
            "description": "How names are resolved.",
        },
        "dnsConfig": _opaque("Resolver settings, as in core/v1."),
        "hostAliases": _list("More lines for /etc/hosts, as in core/v1.", _opaque("As in core/v1."), 32),
        **_refused(),
    },
    **cel(*((f"!has(self.{field})", f"{field}: {instead}") for field, (_, instead) in pod_rules.REFUSED.items())),
}


def _refuse_mistakes(spec: dict[str, Any]) -> dict[str, Any]:
    mistakes = [sentence for sentence, _ in zip(pod_rules.pod_mistakes(spec), range(5), strict=False)]
    if mistakes:
        # The text is no template: an object's own words may hold braces.
        raise PydanticCustomError("pod_template", "{sentences}", {"sentences": "; ".join(mistakes)})
    return spec


class PodMetadata(ApiModel):
    """Labels and annotations of the pods."""

    model_config = ConfigDict(json_schema_extra=rules.POD_METADATA)

    labels: LabelMap = Field(default_factory=dict, description="More labels for the pods.")
    annotations: AnnotationMap = Field(default_factory=dict, description="More annotations for the pods.")


class PodTemplate(ApiModel):
    """What the pods shall have beside what the operator gives them: merged field by field, lists by name.

    It adds; what the operator owns it cannot replace.
    """

    metadata: PodMetadata = Field(default=PodMetadata(), description="Labels and annotations of the pods.")
    spec: Annotated[dict[str, Any], AfterValidator(_refuse_mistakes), WithJsonSchema(_SPEC)] = Field(
        default_factory=dict, description="The pods' own fields, as in core/v1."
    )
