{{- /* The name of one policy of the cage: (dict "root" $ "part" "pods"). Cluster-wide, so with the namespace in it. */ -}}
{{- define "multimodal-operator.cage.name" -}}
{{ include "multimodal-operator.fullname" .root }}.{{ .root.Release.Namespace }}.{{ .part }}
{{- end -}}

{{- /* The head of one policy up to its match: whatever anybody does with the operator's token. */ -}}
{{- define "multimodal-operator.cage.head" -}}
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata:
  name: {{ include "multimodal-operator.cage.name" . }}
  labels: {{- include "multimodal-operator.labels" .root | nindent 4 }}
spec:
  failurePolicy: Fail
  matchConditions:
    - name: the-operators-token
      expression: request.userInfo.username == "system:serviceaccount:{{ .root.Release.Namespace }}:{{ include "multimodal-operator.serviceAccount" .root }}"
{{- end -}}

{{- define "multimodal-operator.cage.binding" -}}
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata:
  name: {{ include "multimodal-operator.cage.name" . }}
  labels: {{- include "multimodal-operator.labels" .root | nindent 4 }}
spec:
  policyName: {{ include "multimodal-operator.cage.name" . }}
  validationActions: [Deny, Audit]
{{- end -}}

{{- /* The images that containers may run, as a CEL list: the server's own repository, then cage.allowedImages. */ -}}
{{- define "multimodal-operator.cage.images" -}}
{{- $own := printf "%s%s" (empty .Values.image.registry | ternary "" (printf "%s/" (trimSuffix "/" .Values.image.registry))) .Values.server.image.repository -}}
{{- prepend .Values.cage.allowedImages $own | toJson -}}
{{- end -}}

{{- /* Writes to the children's kinds: (list "deployments" …). */ -}}
{{- define "multimodal-operator.cage.match" -}}
resourceRules:
  - apiGroups: ["", apps, batch, autoscaling, policy, networking.k8s.io]
    apiVersions: ["*"]
    operations: [CREATE, UPDATE, DELETE]
    resources: {{ . | toJson }}
{{- end -}}
