"""What the cage allows and what it denies, rule by rule, as changes to the children that the operator makes itself.

A change maps JSON pointers to values; None stands for null, which the API server takes for "not there".
"""

from typing import Any, NamedTuple

Change = dict[str, Any]

POD = "/spec/template/spec"
SERVER = f"{POD}/containers/0"
FETCHER = f"{POD}/initContainers/0"
LABELS = "/metadata/labels"
OWNER = "/metadata/ownerReferences/0"
MANAGED_BY = f"{LABELS}/app.kubernetes.io~1managed-by"
MODEL = "serving.multimodal.dev~1model"
TEAM = "registry.example/team/server:1"
DIGEST = f"registry.example/mmm-server@sha256:{'a' * 64}"


def volume(**source: Any) -> Change:
    """The pod's second volume, which is for temporary files, made into another one."""
    return {f"{POD}/volumes/1": {"name": "tmp", **source}}


def projected(*sources: str) -> Change:
    content = {
        "serviceAccountToken": {"path": "token", "expirationSeconds": 3600},
        "configMap": {"name": "a"},
        "secret": {"name": "a"},
        "downwardAPI": {"items": [{"path": "name", "fieldRef": {"fieldPath": "metadata.name"}}]},
    }
    return volume(projected={"sources": [{source: content[source]} for source in sources]})


class Rule(NamedTuple):
    """One rule: the kind it is about, its sentence, and changes that it lets pass, forbids, or sees through."""

    kind: str
    says: str
    allow: tuple[Change, ...]
    deny: tuple[Change, ...]
    bypass: tuple[Change, ...]


def _pod(says: str, allow: tuple[Change, ...], deny: tuple[Change, ...], bypass: tuple[Change, ...]) -> Rule:
    return Rule("Deployment", says, allow, deny, bypass)


def _context(container: str, **fields: Any) -> Change:
    return {f"{container}/securityContext/{name}": value for name, value in fields.items()}


PODS = {
    "the node's namespaces": _pod(
        "may share its node",
        allow=({f"{POD}/hostNetwork": False, f"{POD}/hostIPC": None},),
        deny=({f"{POD}/hostNetwork": True}, {f"{POD}/hostPID": True}, {f"{POD}/hostIPC": True}),
        bypass=({f"{POD}/hostNetwork": None, f"{POD}/hostPID": True},),
    ),
    "the node": _pod(
        "the scheduler chooses",
        allow=({f"{POD}/nodeName": ""}, {f"{POD}/nodeSelector": {"gpu": "yes"}}),
        deny=({f"{POD}/nodeName": "control-plane"},),
        bypass=({f"{POD}/nodeName": "control-plane", f"{POD}/tolerations": [{"operator": "Exists"}]},),
    ),
    "volumes": _pod(
        "only these volumes",
        allow=(
            volume(emptyDir={"medium": "Memory"}),
            volume(secret={"secretName": "a"}),
            volume(configMap={"name": "a"}),
            volume(persistentVolumeClaim={"claimName": "a"}),
            volume(downwardAPI={"items": []}),
        ),
        deny=(volume(hostPath={"path": "/"}),),
        bypass=(
            volume(hostPath={"path": "/dev/shm", "type": "Directory"}, emptyDir=None),
            volume(nfs={"server": "a", "path": "/"}),
            volume(csi={"driver": "a"}),
            volume(gitRepo={"repository": "https://example.com/a"}),
            volume(iscsi={"targetPortal": "10.0.0.1", "iqn": "iqn.2001-04.com.example:a", "lun": 0}),
        ),
    ),
    "service accounts": _pod(
        "is not among cage.allowedServiceAccounts",
        allow=({f"{POD}/serviceAccountName": "default"}, {f"{POD}/serviceAccountName": "trusted"}),
        deny=({f"{POD}/serviceAccountName": "admin"},),
        bypass=(
            {f"{POD}/serviceAccount": "admin"},
            {f"{POD}/serviceAccountName": None, f"{POD}/serviceAccount": "admin"},
            {f"{POD}/serviceAccountName": "trusted-not"},
        ),
    ),
    "token mount": _pod(
        "automountServiceAccountToken must be false",
        allow=({f"{POD}/automountServiceAccountToken": True, f"{POD}/serviceAccountName": "trusted"},),
        deny=({f"{POD}/automountServiceAccountToken": True},),
        bypass=(
            {f"{POD}/automountServiceAccountToken": None},
            {f"{POD}/automountServiceAccountToken": True, f"{POD}/serviceAccountName": "default"},
        ),
    ),
    "projected tokens": _pod(
        "no token may be projected",
        allow=(
            projected("configMap", "secret", "downwardAPI"),
            {**projected("serviceAccountToken"), f"{POD}/serviceAccountName": "trusted"},
        ),
        deny=(projected("serviceAccountToken"),),
        bypass=(projected("configMap", "serviceAccountToken"),),
    ),
    "images": _pod(
        "image not among cage.allowedImages",
        allow=(
            {f"{SERVER}/image": TEAM},
            {f"{SERVER}/image": DIGEST},
            {f"{FETCHER}/image": "registry.example/mmm-server"},
        ),
        deny=({f"{SERVER}/image": "docker.io/library/busybox:1"}, {f"{SERVER}/image": "busybox"}),
        bypass=(
            {f"{FETCHER}/image": "busybox"},
            {f"{SERVER}/image": "registry.example/mmm-server-evil:1"},
            {f"{SERVER}/image": "registry.example/mmm-server/evil:1"},
            {f"{SERVER}/image": "registry.example/teams/server:1"},
            {f"{SERVER}/image": "registry.example:5000/team/server:1"},
            {f"{SERVER}/image": f"evil.example/{TEAM}"},
            {f"{SERVER}/image": "Registry.example/team/server:1"},
        ),
    ),
    "image volumes": _pod(
        "image volume is not among",
        allow=(volume(image={"reference": TEAM}),),
        deny=(volume(image={"reference": "docker.io/library/busybox:1"}),),
        bypass=(
            volume(image={"reference": "registry.example/teams/a"}),
            volume(image={"reference": f"evil.io/{TEAM}"}),
        ),
    ),
    "privileges": _pod(
        "may be privileged",
        allow=(_context(SERVER, privileged=False), _context(SERVER, privileged=None)),
        deny=(
            _context(SERVER, privileged=True, allowPrivilegeEscalation=True),
            _context(SERVER, allowPrivilegeEscalation=True),
        ),
        bypass=(
            _context(FETCHER, privileged=True, allowPrivilegeEscalation=None),
            _context(SERVER, allowPrivilegeEscalation=None),
            {f"{SERVER}/securityContext": {}},
            {f"{FETCHER}/securityContext": None},
        ),
    ),
    "capabilities": _pod(
        "drop all capabilities",
        allow=(_context(SERVER, capabilities={"drop": ["ALL"], "add": []}),),
        deny=(_context(SERVER, capabilities={"drop": ["ALL"], "add": ["SYS_ADMIN"]}),),
        bypass=(
            _context(FETCHER, capabilities={"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]}),
            _context(SERVER, capabilities={"drop": []}),
            _context(SERVER, capabilities={"drop": ["all"]}),
            _context(SERVER, capabilities=None),
        ),
    ),
    "root file system": _pod(
        "must be read-only",
        allow=(_context(SERVER, readOnlyRootFilesystem=True),),
        deny=(_context(SERVER, readOnlyRootFilesystem=False),),
        bypass=(_context(FETCHER, readOnlyRootFilesystem=False), _context(SERVER, readOnlyRootFilesystem=None)),
    ),
    "root": _pod(
        "may run as root",
        allow=(
            {f"{POD}/securityContext/runAsUser": 1000},
            {f"{POD}/securityContext/runAsNonRoot": None}
            | _context(SERVER, runAsNonRoot=True)
            | _context(FETCHER, runAsNonRoot=True),
        ),
        deny=({f"{POD}/securityContext/runAsNonRoot": False}, {f"{POD}/securityContext/runAsUser": 0}),
        bypass=(
            _context(SERVER, runAsNonRoot=False),
            _context(FETCHER, runAsUser=0),
            {f"{POD}/securityContext/runAsNonRoot": None},
            {f"{POD}/securityContext": {"seccompProfile": {"type": "RuntimeDefault"}}},
        ),
    ),
    "seccomp": _pod(
        "seccomp profile",
        allow=(_context(SERVER, seccompProfile={"type": "Localhost", "localhostProfile": "a.json"}),),
        deny=({f"{POD}/securityContext/seccompProfile": {"type": "Unconfined"}},),
        bypass=(
            _context(FETCHER, seccompProfile={"type": "Unconfined"}),
            {f"{POD}/securityContext/seccompProfile": None},
        ),
    ),
    "the node's own protection": _pod(
        "stay as the node has them",
        allow=(
            {
                f"{POD}/securityContext/appArmorProfile": {"type": "RuntimeDefault"},
                f"{POD}/securityContext/sysctls": [],
            },
        ),
        deny=({f"{POD}/securityContext/appArmorProfile": {"type": "Unconfined"}},),
        bypass=(
            _context(FETCHER, appArmorProfile={"type": "Unconfined"}),
            {f"{POD}/securityContext/sysctls": [{"name": "net.ipv4.ip_forward", "value": "1"}]},
            {f"{POD}/securityContext/seLinuxOptions": {"type": "spc_t"}},
            _context(SERVER, seLinuxOptions={"type": "spc_t"}),
            {f"{POD}/hostUsers": False} | _context(SERVER, procMount="Unmasked"),
        ),
    ),
    "the node's ports": _pod(
        "no port of the node",
        allow=({f"{SERVER}/ports/0/hostPort": 0},),
        deny=({f"{SERVER}/ports/0/hostPort": 8080},),
        bypass=({f"{FETCHER}/ports": [{"containerPort": 1, "hostPort": 9999}]}, {f"{SERVER}/ports/1/hostPort": 9999}),
    ),
}

# The same for the pods of Jobs, of which there is one container: as many rules as show that they apply.
JOBS = {
    "a Job's node": Rule(
        "Job",
        "may share its node",
        allow=({f"{POD}/hostNetwork": False},),
        deny=({f"{POD}/hostNetwork": True},),
        bypass=({f"{POD}/hostPID": True},),
    ),
    "a Job's images": Rule(
        "Job",
        "image not among cage.allowedImages",
        allow=({f"{SERVER}/image": TEAM},),
        deny=({f"{SERVER}/image": "busybox"},),
        bypass=({f"{POD}/initContainers": [{"name": "a", "image": "busybox"}]},),
    ),
    "a Job's owner": Rule(
        "Job",
        "its controller must be",
        allow=({f"{OWNER}/blockOwnerDeletion": False},),
        deny=({"/metadata/ownerReferences": None},),
        bypass=({f"{OWNER}/name": "other"},),
    ),
}

CHILDREN = {
    "labels": Rule(
        "PersistentVolumeClaim",
        "its labels must say",
        allow=({f"{LABELS}/team": "a"},),
        deny=({MANAGED_BY: None}, {MANAGED_BY: "Helm"}, {f"{LABELS}/{MODEL}": "other"}),
        bypass=(
            {LABELS: None},
            {MANAGED_BY: "MMM-operator"},
            {MANAGED_BY: "", "/metadata/annotations": {"app.kubernetes.io/managed-by": "mmm-operator"}},
            {f"{LABELS}/{MODEL}": ""},
        ),
    ),
    "owner": Rule(
        "Deployment",
        "its controller must be",
        allow=({f"{OWNER}/blockOwnerDeletion": False},),
        deny=({"/metadata/ownerReferences": None}, {f"{OWNER}/controller": False}, {f"{OWNER}/kind": "Deployment"}),
        bypass=(
            {"/metadata/ownerReferences": []},
            {f"{OWNER}/controller": None},
            {f"{OWNER}/apiVersion": "serving.multimodal.dev.evil/v1"},
            {f"{OWNER}/kind": "multimodalmodel"},
            {f"{OWNER}/name": "other"},
            {"/metadata/name": "clipper"},
        ),
    ),
    "other owners": Rule(
        "Deployment",
        "nothing else may own it",
        allow=({f"{OWNER}/blockOwnerDeletion": None},),
        deny=({"/metadata/ownerReferences/1": {"apiVersion": "v1", "kind": "Node", "name": "a", "uid": "u"}},),
        bypass=(
            {
                "/metadata/ownerReferences/1": {
                    **{"apiVersion": "serving.multimodal.dev/v1alpha1", "kind": "MultimodalModel"},
                    **{"name": "clip", "uid": "another", "controller": False},
                }
            },
        ),
    ),
    "finalizers": Rule(
        "PersistentVolumeClaim",
        "adds no finalizers",
        allow=({"/metadata/finalizers": []}, {"/metadata/finalizers": ["kubernetes.io/pvc-protection"]}),
        deny=({"/metadata/finalizers": ["example.com/stay"]},),
        bypass=({"/metadata/finalizers": ["kubernetes.io/pvc-protection", "foregroundDeletion"]},),
    ),
    "service types": Rule(
        "Service",
        "inside the cluster only",
        allow=({"/spec/type": None}, {"/spec/clusterIP": "None"}, {"/spec/externalIPs": []}),
        deny=({"/spec/type": "NodePort"}, {"/spec/type": "LoadBalancer"}, {"/spec/externalIPs": ["192.0.2.1"]}),
        bypass=(
            {"/spec/type": "ExternalName", "/spec/externalName": "example.com"},
            {"/spec/type": None, "/spec/externalIPs": ["192.0.2.1"]},
        ),
    ),
    "service selectors": Rule(
        "Service",
        "must select the pods of its own model",
        allow=({"/spec/selector/a": "b"},),
        deny=({f"/spec/selector/{MODEL}": "other"},),
        bypass=({"/spec/selector": None}, {"/spec/selector": {}}, {"/spec/selector": {"app": "database"}}),
    ),
    "budget selectors": Rule(
        "PodDisruptionBudget",
        "must select the pods of its own model",
        allow=({"/spec/selector/matchLabels/a": "b"},),
        deny=({f"/spec/selector/matchLabels/{MODEL}": "other"},),
        bypass=(
            {"/spec/selector": {}},
            {"/spec/selector": None},
            {"/spec/selector": {"matchExpressions": [{"key": "app", "operator": "Exists"}]}},
        ),
    ),
    "policy selectors": Rule(
        "NetworkPolicy",
        "must select the pods of its own model",
        allow=({"/spec/ingress": [{}]},),
        deny=({f"/spec/podSelector/matchLabels/{MODEL}": "other"},),
        bypass=(
            {"/spec/podSelector": {}},
            {"/spec/podSelector": {"matchExpressions": [{"key": "a", "operator": "Exists"}]}},
        ),
    ),
    "what is scaled": Rule(
        "HorizontalPodAutoscaler",
        "must scale its own model",
        allow=({"/spec/maxReplicas": 50},),
        deny=({"/spec/scaleTargetRef/name": "other"}, {"/spec/scaleTargetRef/kind": "Deployment"}),
        bypass=({"/spec/scaleTargetRef/apiVersion": "apps/v1"},),
    ),
    "what a claim holds": Rule(
        "PersistentVolumeClaim",
        "a claim begins empty",
        allow=({"/spec/resources/requests/storage": "5Gi"},),
        deny=(
            {"/spec/dataSource": {"kind": "PersistentVolumeClaim", "name": "theirs"}},
            {"/spec/volumeName": "theirs"},
        ),
        bypass=({"/spec/dataSourceRef": {"kind": "PersistentVolumeClaim", "name": "theirs"}},),
    ),
}

RULES = {**PODS, **JOBS, **CHILDREN}
