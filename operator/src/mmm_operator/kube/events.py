"""Events on a MultimodalModel, in the form of events.k8s.io/v1."""

import datetime as dt
import secrets
import socket

from mmm_operator import names
from mmm_operator.plan import Event
from mmm_operator.snapshot import Manifest, Snapshot

MAX_NOTE = 1024


def build_event(event: Event, snapshot: Snapshot, now: dt.datetime) -> Manifest:
    """The event as the API server wants it; what `kubectl describe` shows."""
    meta = snapshot.meta
    return {
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": {"name": f"{meta.name}.{secrets.token_hex(8)}", "namespace": meta.namespace},
        "eventTime": now.astimezone(dt.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        "reportingController": names.REPORTING_CONTROLLER,
        "reportingInstance": socket.gethostname()[:128],
        "action": "Reconcile",
        "type": event.type,
        "reason": event.reason,
        "note": event.message[:MAX_NOTE],
        "regarding": {
            "apiVersion": names.API_VERSION,
            "kind": names.KIND,
            "namespace": meta.namespace,
            "name": meta.name,
            "uid": meta.uid,
        },
    }
