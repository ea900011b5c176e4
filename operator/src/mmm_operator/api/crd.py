"""The CustomResourceDefinition, built from the API types."""

from typing import Any, Literal, NamedTuple

from mmm_operator import names
from mmm_operator.api import rules
from mmm_operator.api.conditions import ConditionType
from mmm_operator.api.schema import VALIDATIONS, structural_schema
from mmm_operator.api.status import Status
from mmm_operator.api.v1alpha1 import MultimodalModel, Spec


class Column(NamedTuple):
    """One column of `kubectl get`; `wide` ones appear with `-o wide` only."""

    name: str
    type: Literal["string", "integer", "date"]
    path: str
    description: str
    wide: bool = False


def _condition(type_: ConditionType, field: str) -> str:
    return f".status.conditions[?(@.type=='{type_.value}')].{field}"


COLUMNS = (
    Column("Ready", "string", ".status.readySummary", "Ready and wanted pods."),
    Column("Version", "string", ".status.model.current.version", "The version that answers requests."),
    Column("Target", "string", ".status.model.target.version", "The version that shall answer requests."),
    Column("Rollout", "string", ".status.rollout.summary", "How far a change is."),
    Column("Reason", "string", _condition(ConditionType.READY, "reason"), "Why it is ready, or why not."),
    Column("Age", "date", ".metadata.creationTimestamp", "Since when the object exists."),
    Column("Available", "string", _condition(ConditionType.AVAILABLE, "status"), "Whether anybody answers.", wide=True),
    Column("Digest", "string", ".status.model.current.shortDigest", "The bytes that answer requests.", wide=True),
    Column("Device", "string", ".status.acceleration.device", "Where the model computes.", wide=True),
    Column("DType", "string", ".status.acceleration.dtype", "The number format in effect.", wide=True),
    Column("Min", "integer", ".spec.autoscaling.minReplicas", "Never fewer pods than this.", wide=True),
    Column("Max", "integer", ".spec.autoscaling.maxReplicas", "Never more pods than this.", wide=True),
    Column("URL", "string", ".status.url", "Where applications reach the model.", wide=True),
    Column("Message", "string", _condition(ConditionType.READY, "message"), "The reason as a sentence.", wide=True),
)
"""What people see; NAME is always there. A test compares it with what kubectl prints."""

SELECTABLE = (".spec.model.uri", ".spec.model.version")
"""Fields for `kubectl get mmm --field-selector`: who serves this model?"""


def crd() -> dict[str, Any]:
    """The CustomResourceDefinition as kubectl and the chart apply it."""
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{names.PLURAL}.{names.GROUP}"},
        "spec": {
            "group": names.GROUP,
            "scope": "Namespaced",
            "names": {
                "kind": names.KIND,
                "listKind": f"{names.KIND}List",
                "plural": names.PLURAL,
                "singular": names.SINGULAR,
                "shortNames": [names.SHORT_NAME],
                "categories": ["models"],
            },
            "versions": [_version()],
        },
    }


def _version() -> dict[str, Any]:
    return {
        "name": names.VERSION,
        "served": True,
        "storage": True,
        "subresources": {
            "status": {},
            "scale": {
                "specReplicasPath": ".spec.replicas",
                "statusReplicasPath": ".status.replicas",
                "labelSelectorPath": ".status.selector",
            },
        },
        "additionalPrinterColumns": [_column(column) for column in COLUMNS],
        "selectableFields": [{"jsonPath": path} for path in SELECTABLE],
        "schema": {"openAPIV3Schema": root_schema()},
    }


def _column(column: Column) -> dict[str, Any]:
    priority = {"priority": 1} if column.wide else {}
    return {
        "name": column.name,
        "type": column.type,
        "jsonPath": column.path,
        "description": column.description,
        **priority,
    }


def root_schema() -> dict[str, Any]:
    """The schema of a whole MultimodalModel; its metadata is left to the API server, which knows it."""
    return {
        "description": MultimodalModel.__doc__,
        "type": "object",
        "required": ["spec"],
        "properties": {
            "apiVersion": {"description": f"Always {names.API_VERSION}.", "type": "string"},
            "kind": {"description": f"Always {names.KIND}.", "type": "string"},
            "metadata": {"type": "object"},
            "spec": structural_schema(Spec),
            # The operator writes every field of the status; defaults would be a second writer.
            "status": structural_schema(Status, defaults=False),
        },
        VALIDATIONS: rules.OBJECT[VALIDATIONS],
    }
