"""The metrics of operator and server, as they register them themselves."""

from prometheus_client import CollectorRegistry
from prometheus_client.metrics import MetricWrapperBase

from dev.generate.text import markdown_note
from mmm_operator.api.docs import table
from mmm_operator.runtime.metrics import Metrics as OperatorMetrics
from mmm_server.metrics import Gauges
from mmm_server.metrics import Metrics as ServerMetrics


def metrics_reference() -> str:
    """Every metric with its type, its labels and its sentence."""
    server = ServerMetrics()
    server.watch(Gauges(*[lambda: 0.0] * len(Gauges.__dataclass_fields__)))
    return (
        markdown_note("mmm_operator.runtime.metrics, mmm_server.metrics")
        + "\n# Metrics\n\n"
        + "In Prometheus' text format. A histogram is three series: `_bucket`, `_sum` and `_count`.\n"
        + "\n## Operator, port 8080, `/metrics`\n\n"
        + _metrics_table(OperatorMetrics().registry)
        + "\n## Server pod, port 8081, `/metrics`\n\n"
        + _metrics_table(server.registry)
    )


def _metrics_table(registry: CollectorRegistry) -> str:
    # The registry has no public way to its collectors, and what it collects says no labels before they are used.
    collectors = {id(each): each for each in registry._names_to_collectors.values()}.values()
    rows = [_row(each) for each in collectors if isinstance(each, MetricWrapperBase)]
    return table(("metric", "type", "labels", "meaning"), sorted(rows))


def _row(metric: MetricWrapperBase) -> tuple[str, str, str, str]:
    (family,) = metric.describe()
    name = f"{family.name}_total" if family.type == "counter" else family.name
    labels = ", ".join(f"`{label}`" for label in metric._labelnames)
    return f"`{name}`", family.type, labels, family.documentation
