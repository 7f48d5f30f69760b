"""Typed settings of a stack: the input of a layer's program. All problems are reported at once."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

from pydantic import Field, ValidationError, ValidationInfo, field_validator

from infra.credentials import Credentials  # noqa: TC001 - pydantic reads it when the class is created
from infra.errors import ProblemsError
from infra.platform_settings import PlatformSettings
from infra.validation import problems_of

if TYPE_CHECKING:
    from collections.abc import Mapping


class Layer(StrEnum):
    """A separately deployed stack. Layers are deployed in this order."""

    CLUSTER = "cluster"
    """Namespaces with their rules, priority classes."""
    DATA = "data"
    """Postgres, Redis, Kafka, object store: must not lose data."""
    SERVICES = "services"
    """The application; may be destroyed and created again at any time."""
    OBSERVABILITY = "observability"
    """Metrics, logs, traces and alerts; the platform works without it."""


IMAGES: dict[Layer, tuple[str, ...]] = {
    Layer.CLUSTER: (),
    Layer.DATA: ("postgres", "redis", "kafka", "garage"),
    Layer.SERVICES: ("services",),
    Layer.OBSERVABILITY: ("observability", "services"),
}
"""Required images of each layer."""


ImageReference = Annotated[str, Field(pattern=r"^\S+@sha256:[0-9a-f]{64}$")]
"""`REPOSITORY@sha256:DIGEST`."""


class StackSettings(PlatformSettings):
    """Settings of one layer of one environment: what its definition chooses, and what a deploy adds.

    Attributes:
        environment: name of the environment, e.g. `local`; the stack is `<environment>-<layer>`.
        layer: layer of this stack.
        images: image reference by name; by digest, so that equal settings always run the same code.
        credentials: all secrets of the environment; None in the cluster layer, which needs none.
    """

    environment: str = Field(pattern=r"^[a-z][a-z0-9-]{0,20}$")
    layer: Layer
    images: dict[str, ImageReference] = Field(default_factory=dict, validate_default=True)
    credentials: Credentials | None = Field(default=None, repr=False, validate_default=True)

    @field_validator("images")
    @classmethod
    def _require_images(cls, images: dict[str, str], info: ValidationInfo) -> dict[str, str]:
        layer = info.data.get("layer")
        required = IMAGES[layer] if isinstance(layer, Layer) else ()
        missing = [name for name in required if name not in images]
        if missing:
            raise ValueError(f"missing: {', '.join(missing)}; give each as REPOSITORY@sha256:DIGEST")
        return images

    @field_validator("credentials")
    @classmethod
    def _require_credentials(
        cls, credentials: Credentials | None, info: ValidationInfo
    ) -> Credentials | None:
        if credentials is None and info.data.get("layer") not in (None, Layer.CLUSTER):
            raise ValueError("missing; `esq deploy` creates and stores them")
        return credentials

    @property
    def required_credentials(self) -> Credentials:
        """The credentials of a layer that requires them.

        Raises:
            TypeError: the layer has no credentials.
        """
        if self.credentials is None:
            raise TypeError(f"the {self.layer} layer has no credentials")
        return self.credentials


def parse_settings(values: Mapping[str, object]) -> StackSettings:
    """Parse settings from plain values, e.g. a stack's configuration.

    Returns:
        The settings.

    Raises:
        ProblemsError: all problems in `values`, each with its location and remedy.
    """
    try:
        return StackSettings.model_validate(values)
    except ValidationError as error:
        problems = problems_of(error, source="settings", remedy="Correct it in the stack's configuration.")
        raise ProblemsError("The stack settings are invalid", problems) from error
