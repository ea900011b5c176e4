"""The chart's generated templates."""

from dev.generate.text import block, yaml_note
from mmm_operator.api.crd import crd


def crd_template() -> str:
    """The CRD as a template: Helm installs what is in `crds/` once and never upgrades it, so it is not there."""
    document = crd()
    metadata = document.pop("metadata")
    return (
        yaml_note("mmm_operator.api")
        + "{{- if .Values.crds.install }}\n"
        + block({"apiVersion": document.pop("apiVersion"), "kind": document.pop("kind")})
        + f"metadata:\n  name: {metadata['name']}\n"
        + '  labels: {{- include "multimodal-operator.labels" . | nindent 4 }}\n'
        + "  {{- if .Values.crds.keep }}\n"
        + "  annotations:\n    helm.sh/resource-policy: keep\n"
        + "  {{- end }}\n"
        + block(document)
        + "{{- end }}\n"
    )
