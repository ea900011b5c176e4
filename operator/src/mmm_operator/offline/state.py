"""A cluster as `kubectl get … -o yaml` dumped it."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

from mmm_operator import names
from mmm_operator.kube.observe import controller_uid
from mmm_operator.offline.documents import Document
from mmm_operator.snapshot import Key, Manifest


@dataclass
class State:
    """Everything that was dumped: by namespace, and the MultimodalModels by key."""

    models: dict[Key, Document] = field(default_factory=dict)
    _pods: dict[str, list[Manifest]] = field(default_factory=lambda: defaultdict(list))
    _warnings: dict[str, list[Manifest]] = field(default_factory=lambda: defaultdict(list))
    _others: dict[str, list[Manifest]] = field(default_factory=lambda: defaultdict(list))

    @classmethod
    def of(cls, documents: Iterable[Document]) -> "State":
        """The state that the objects of a dump make up."""
        state = cls()
        for document in documents:
            state._add(document)
        return state

    def _add(self, document: Document) -> None:
        item = document.content
        meta = item.get("metadata", {})
        namespace = meta.get("namespace", "")
        if item["kind"] == names.KIND:
            self.models[Key(namespace, meta.get("name", ""))] = document
        elif item["kind"] == "Pod":
            self._pods[namespace].append(item)
        elif item["kind"] == "Event":
            self._warnings[namespace] += [item] if item.get("type") == "Warning" else []
        elif meta.get("name"):
            self._others[namespace].append(item)

    def live(self, key: Key) -> Manifest | None:
        """The MultimodalModel as the cluster has it; None when it was not dumped."""
        document = self.models.get(key)
        return None if document is None else document.content

    def others(self, namespace: str) -> list[Manifest]:
        """Everything in a namespace that is no pod, no event and no MultimodalModel."""
        return self._others.get(namespace, [])

    def pods(self, key: Key) -> tuple[Manifest, ...]:
        """The server pods of one MultimodalModel."""
        return self._labelled(key, names.pod_selector(key.name))

    def fetchers(self, key: Key) -> tuple[Manifest, ...]:
        """The pods that only fetch its model."""
        return self._labelled(key, {names.LABEL_NAME: names.FETCH_APP_NAME, names.LABEL_MODEL: key.name})

    def _labelled(self, key: Key, labels: dict[str, str]) -> tuple[Manifest, ...]:
        pods = self._pods.get(key.namespace, ())
        return tuple(pod for pod in pods if labels.items() <= pod["metadata"].get("labels", {}).items())

    def claim(self, namespace: str, name: str | None) -> Manifest | None:
        """The claim of that name, if it was dumped."""
        claims = (item for item in self.others(namespace) if item["kind"] == "PersistentVolumeClaim")
        return next((item for item in claims if item["metadata"]["name"] == name), None)

    def warnings(self, namespace: str) -> tuple[Manifest, ...]:
        """The Warning events of a namespace."""
        return tuple(self._warnings.get(namespace, ()))

    def owner_uid(self, key: Key) -> str | None:
        """The uid that the children say their MultimodalModel has; None when no child of it was dumped."""
        for item in self.others(key.namespace):
            owners = item["metadata"].get("ownerReferences", ())
            if any(owner.get("kind") == names.KIND and owner.get("name") == key.name for owner in owners):
                return controller_uid(item)
        return None
