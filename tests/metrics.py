"""Access to the Prometheus metrics of this process."""

from __future__ import annotations

from prometheus_client import REGISTRY


def metric(name: str, **labels: str) -> float | None:
    """Return the value of a sample; None when there is none with these labels."""
    return REGISTRY.get_sample_value(name, labels)
