"""The process: kopf as the host of watches, the queue, its workers, and what shows that they live."""
