"""Settings of the platform that an environment's definition chooses, and that its layers use."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema, field_validator

from infra.names import STATEFUL_REPLICAS
from infra.observability_settings import ObservabilitySettings
from infra.processes import PROCESSES, REPLICAS, Process
from infra.sizes import DEFAULT_PROFILE, PROFILES, Sizes, apply_profile, sizes_schema
from infra.validation import suggest

SIMULATOR = "simulator"
"""The service that stands in for the WhatsApp Cloud API."""
CLOUD_API_URL = "https://graph.facebook.com"

ZoneName = Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?$")]
ReplicaCount = Annotated[int, Field(ge=2, le=100)]
"""At least two, so that losing a zone causes no outage."""
_PROCESS_NAMES = [process.name for process in PROCESSES]


class PlatformSettings(BaseModel):
    """What an environment chooses for its layers.

    Attributes:
        zones: failure domains for the replicas, as in the nodes' zone labels.
        storage_class: StorageClass of all volumes; it must wait for its first consumer, otherwise volumes and
            pods can be in different zones.
        sizes: resources of each replica.
        replicas: replicas by process, where they differ from `infra.processes.REPLICAS`.
        simulator: whether the simulator is deployed and receives all messages.
        cloud_api_url: URL of the WhatsApp Cloud API that receives all messages without the simulator.
        observability: the observability layer.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    zones: tuple[ZoneName, ...] = Field(
        min_length=STATEFUL_REPLICAS,
        description="Values of the nodes' label topology.kubernetes.io/zone, at least three.",
    )
    storage_class: str = Field(
        min_length=1, description="StorageClass of all volumes, with volumeBindingMode WaitForFirstConsumer."
    )
    sizes: Annotated[Sizes, BeforeValidator(apply_profile), WithJsonSchema(sizes_schema())] = Field(
        default=PROFILES[DEFAULT_PROFILE],
        description="Resources of each replica: a profile, and what differs from it.",
    )
    replicas: dict[str, ReplicaCount] = Field(
        default_factory=dict,
        description=f"Replicas by process, where they differ from {REPLICAS}.",
        json_schema_extra={"propertyNames": {"enum": list[Any](_PROCESS_NAMES)}},
    )
    simulator: bool = Field(
        default=False, description="Deploy the simulator and send all messages to it instead of WhatsApp."
    )
    cloud_api_url: str = Field(
        default=CLOUD_API_URL,
        pattern=r"^https://[^\s]+$",
        description="URL of the WhatsApp Cloud API; not used with the simulator.",
    )
    observability: ObservabilitySettings = Field(
        default=ObservabilitySettings(), description="Metrics, logs, traces and alerts of the environment."
    )

    @field_validator("zones")
    @classmethod
    def _require_different_zones(cls, zones: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(zones)) != len(zones):
            raise ValueError("a zone is named twice")
        return zones

    @field_validator("replicas")
    @classmethod
    def _require_known_processes(cls, replicas: dict[str, int]) -> dict[str, int]:
        if unknown := [name for name in replicas if name not in _PROCESS_NAMES]:
            suggestion = "".join(suggest(name, _PROCESS_NAMES) for name in unknown)
            raise ValueError(
                f"no such process: {', '.join(unknown)}. {suggestion}Known: {', '.join(_PROCESS_NAMES)}"
            )
        return replicas

    @property
    def processes(self) -> tuple[Process, ...]:
        """The processes that are deployed."""
        return tuple(process for process in PROCESSES if self.simulator or process.service != SIMULATOR)

    def replicas_of(self, process: Process) -> int:
        """Return the number of replicas of a process."""
        return self.replicas.get(process.name, REPLICAS)
