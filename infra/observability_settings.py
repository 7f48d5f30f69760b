"""What an environment's definition chooses for the observability layer."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from infra.alerts.receivers import ReceiverSettings


class ObservabilitySettings(BaseModel):
    """Settings of the layer.

    Attributes:
        enabled: whether a deploy of all layers includes it; `--layer observability` deploys it in any case.
        metrics_retention_days: metrics are kept this long.
        logs_retention_days: logs and spans are kept this long.
        logs_max_gib: and no more than this (GiB): the oldest are deleted earlier.
        trace_sample_ratio: share of the traces that are stored; those with errors count like all others.
        receivers: who receives alerts; without any, the layer only stores what it would send.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    enabled: bool = Field(
        default=False, description="Whether a deploy of all layers includes the observability layer."
    )
    metrics_retention_days: int = Field(default=30, ge=1, description="Metrics are kept for this many days.")
    logs_retention_days: int = Field(
        default=7, ge=1, description="Logs and spans are kept for this many days."
    )
    logs_max_gib: int = Field(
        default=10, ge=1, description="Logs and spans take at most this much space (GiB)."
    )
    trace_sample_ratio: float = Field(
        default=0.1, ge=0, le=1, description="Share of the traces that are stored."
    )
    receivers: ReceiverSettings = Field(
        default=ReceiverSettings(),
        description="Who receives alerts. You create the Secret alert-receivers with their secrets.",
    )
