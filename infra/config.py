"""Settings of a stack, typed: what a layer's program is run with. All errors are told at once."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator

from infra import defaults
from infra.credentials import Credentials  # noqa: TC001 - pydantic reads it when the class is made
from infra.errors import Problem, ProblemsError
from infra.names import STATEFUL_REPLICAS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic_core import ErrorDetails


class Layer(StrEnum):
    """A stack with its own life. Their order here is the order they are deployed in."""

    CLUSTER = "cluster"
    """Namespaces, priorities, the rules pods live under."""
    DATA = "data"
    """Postgres, Redis, Kafka, objects: what must not lose anything."""
    SERVICES = "services"
    """The application; may be destroyed and made again at any time."""


IMAGES: dict[Layer, tuple[str, ...]] = {
    Layer.CLUSTER: (),
    Layer.DATA: ("postgres", "redis", "kafka", "garage"),
    Layer.SERVICES: ("services",),
}
"""The images each layer cannot do without."""


ImageReference = Annotated[str, Field(pattern=r"^\S+@sha256:[0-9a-f]{64}$")]
"""`REPOSITORY@sha256:DIGEST`."""


class StackSettings(BaseModel):
    """Settings of one layer of one environment.

    Attributes:
        environment: name of the environment, e.g. `local`; the stack is `<environment>-<layer>`.
        layer: which layer this stack is.
        zones: failure domains that replicas are spread over, as the nodes' zone labels name them.
        storage_class: StorageClass of all volumes; it must wait for its first consumer, else zones cannot
            be kept.
        images: image reference by name. By digest, so that the same settings always run the same code.
        sizes: what each replica may use; by default the environment's row in `infra.defaults`.
        credentials: all secrets of the environment; None in the cluster layer, which needs none.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    environment: str = Field(pattern=r"^[a-z][a-z0-9-]{0,20}$")
    layer: Layer
    zones: tuple[str, ...] = Field(default=("zone-a", "zone-b", "zone-c"), min_length=STATEFUL_REPLICAS)
    storage_class: str = "esq-local"
    images: dict[str, ImageReference] = Field(default_factory=dict, validate_default=True)
    sizes: defaults.Sizes = Field(default_factory=lambda data: defaults.sizes(data.get("environment", "")))
    credentials: Credentials | None = Field(default=None, repr=False, validate_default=True)

    @field_validator("images")
    @classmethod
    def _all_images(cls, images: dict[str, str], info: ValidationInfo) -> dict[str, str]:
        layer = info.data.get("layer")
        needed = IMAGES[layer] if isinstance(layer, Layer) else ()
        missing = [name for name in needed if name not in images]
        if missing:
            raise ValueError(f"missing: {', '.join(missing)}; give each as REPOSITORY@sha256:DIGEST")
        return images

    @field_validator("credentials")
    @classmethod
    def _credentials_where_needed(cls, given: Credentials | None, info: ValidationInfo) -> Credentials | None:
        if given is None and info.data.get("layer") in (Layer.DATA, Layer.SERVICES):
            raise ValueError("missing; `esq deploy` makes and keeps them")
        return given

    @property
    def secrets(self) -> Credentials:
        """The credentials, of a layer that was checked to have them."""
        if self.credentials is None:
            raise TypeError(f"the {self.layer} layer has no credentials")
        return self.credentials


_FOLLOWS = "default_factory_not_called"
"""pydantic's word for a default not computed because another field is wrong: no news to the reader."""


def _problem(error: ErrorDetails) -> Problem:
    where = ".".join(str(part) for part in error["loc"]) or "settings"
    # A credential must not end up in a message, and a field that is missing has no value to show.
    shown = isinstance(error["input"], str | int | list | tuple) and not where.startswith("credentials")
    found = f" (found {error['input']!r})" if shown else ""
    return Problem(f"{error['msg']}{found}", where, "Correct it in the stack's configuration.")


def parse(values: Mapping[str, object]) -> StackSettings:
    """Read settings from plain values, e.g. a stack's configuration.

    Raises:
        ProblemsError: all that is wrong in `values`, each with its place and way out.
    """
    try:
        return StackSettings.model_validate(values)
    except ValidationError as error:
        problems = [_problem(each) for each in error.errors() if each["type"] != _FOLLOWS]
        raise ProblemsError("The stack settings cannot be used", problems) from error
