"""The roles: as templates that the chart includes, and as a table for people."""

from collections.abc import Iterator, Sequence

from dev.generate.text import NOTE, markdown_note
from mmm_operator import rbac
from mmm_operator.api.docs import table

ROLES = {"operator": rbac.OPERATOR, "lease": rbac.LEASE, "view": rbac.VIEW, "edit": rbac.EDIT}
RELEASE_NAME = '{{ include "multimodal-operator.fullname" . }}'


def rules_template() -> str:
    """The rules of all roles, each verb with its reason, as templates that `rbac.yaml` includes."""
    return f"{{{{- /* {NOTE} Source: mmm_operator.rbac. */ -}}}}\n" + "".join(
        f'{{{{- define "multimodal-operator.rules.{role}" -}}}}\n{_rules(grants)}{{{{- end }}}}\n'
        for role, grants in ROLES.items()
    )


def _rules(grants: Sequence[rbac.Grant]) -> str:
    return "".join(f"{line}\n" for grant in grants for line in _rule(grant))


def _rule(grant: rbac.Grant) -> Iterator[str]:
    yield f'- apiGroups: ["{grant.group}"]'
    yield f"  resources: [{grant.resource}]"
    if grant.named:
        yield f"  resourceNames: [{RELEASE_NAME}]"
    yield "  verbs:"
    yield from (f"    - {verb}  # {because}" for verb, because in grant.because.items())


def rights_reference() -> str:
    """What the operator may do, one row per verb."""
    return (
        markdown_note("mmm_operator.rbac")
        + "\n# What the operator may do\n\n"
        + "Nothing else: no wildcard, no list or watch of Secrets, no exec, no right on roles, nodes or namespaces.\n"
        + "Tests compare this table with what a real API server saw the operator do, and take away one verb after the\n"
        + "other to see what breaks.\n\n"
        + "When a verb is missing, the API server's refusal names it: in the operator's log, or, for a Secret, in the\n"
        + "condition `ModelResolved`. Without a `list` the operator is not ready; without a `watch` it works, but\n"
        + "sees what changed only when it compares, every `operator.resyncSeconds`.\n"
        + "\n## In the namespaces that it watches\n\n"
        + "One ClusterRole; with `watchNamespaces` a Role in each of them, and nothing cluster-wide.\n\n"
        + _rights(rbac.OPERATOR)
        + "\n## In its own namespace\n\n"
        + _rights(rbac.LEASE)
        + "\n## Its users\n\n"
        + "`rbac.userRoles` adds to Kubernetes' own role `view`:\n\n"
        + _rights(rbac.VIEW)
        + "\nand to `edit` and `admin`:\n\n"
        + _rights(rbac.EDIT)
    )


def _rights(grants: Sequence[rbac.Grant]) -> str:
    return table(("resource", "verb", "what for"), (row for grant in grants for row in _rows(grant)))


def _rows(grant: rbac.Grant) -> Iterator[tuple[str, str, str]]:
    resource = f"`{grant.resource}`" + (f" of `{grant.group}`" if grant.group else "")
    only = ", only the one named like the release" if grant.named else ""
    return ((resource + only, f"`{verb}`", because) for verb, because in grant.because.items())
