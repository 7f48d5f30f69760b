"""The definition of an environment: a committed file that says where it runs and how.

`local` is built in: it has the embedded cluster, and no file can give it another one. Every other environment
is a file `NAME.yaml`. Secrets are not in it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Final, Literal

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    ValidationError,
    ValidationInfo,
    field_validator,
)

from infra.errors import Problem, ProblemsError
from infra.names import LOAD_IMAGE
from infra.platform_settings import PlatformSettings
from infra.sizes import LOCAL_SIZES
from infra.stack_settings import IMAGES, ImageReference, Layer
from infra.validation import problems_of

_IMAGE_NAMES = (*dict.fromkeys(name for names in IMAGES.values() for name in names), LOAD_IMAGE)
EMBEDDED: Final = "embedded"
PASSPHRASE = "passphrase"  # noqa: S105 - the name of a secrets provider
_EXISTING = "existing"
_REMEDY = "Correct the file; `esq env init NAME` writes a template that describes every field."


def _existing_file(path: Path, info: ValidationInfo) -> Path:
    """Return the absolute path of a file that is named relative to the definition."""
    absolute: Path = ((info.context or {}).get("folder", Path()) / path.expanduser()).resolve()
    if not absolute.is_file():
        raise ValueError(f"no such file: {absolute}")
    return absolute


ExistingFile = Annotated[Path, AfterValidator(_existing_file)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ExistingCluster(_Part):
    """A cluster that esq did not create.

    Attributes:
        kubeconfig: its kubeconfig.
        context: a context of the kubeconfig; required, because others change the current one.
    """

    kubeconfig: ExistingFile = Field(description="Path of a kubeconfig; relative to this file, or ~/...")
    context: str = Field(min_length=1, description="Name of a context of the kubeconfig.")


class OffsiteStore(_Part):
    """An S3 store outside of the environment's failure domain; its access key is in the credentials.

    Attributes:
        url: `https://host[:port]`; buckets are addressed by path.
        region: region of the signature.
        bucket: name of an existing bucket.
        ca_certificate: PEM file of the CA that signed the store's certificate.
        ip_address: IP address of a store without a DNS name.
    """

    url: str = Field(pattern=r"^https://[^/\s]+$", description="https://HOST[:PORT] of an S3 store.")
    region: str = Field(min_length=1, description="Region of the signature.")
    bucket: str = Field(min_length=3, description="Name of an existing bucket.")
    ca_certificate: ExistingFile = Field(
        description="PEM file of the CA of the store's certificate; relative to this file."
    )
    ip_address: str | None = Field(default=None, description="IP address of a store without a DNS name.")

    @property
    def name(self) -> str:
        """`URL/BUCKET`, as in the environment's record."""
        return f"{self.url}/{self.bucket}"


def _cluster_kind(value: object) -> str:
    return EMBEDDED if isinstance(value, str) else _EXISTING


class EnvironmentDefinition(PlatformSettings):
    """Definition of an environment.

    Attributes:
        backend: Pulumi backend URL; None for a folder of this machine, which other machines cannot use.
        secrets_provider: what encrypts the secrets of the stacks: `passphrase`, or a key `awskms://...`.
        cluster: `embedded` (only for `local`), or an existing cluster.
        images: image reference by name; None for images that are built and pushed to the embedded registry.
        offsite_store: store of the backups that must outlive the environment; None without one. The embedded
            cluster has its own.
        public_address: URL of the platform for its users; None for the edge of the embedded cluster.
        public_ca_certificate: PEM file of a private CA of that URL's certificate.
    """

    backend: str | None = Field(
        default=None,
        pattern=r"^(file:///|s3://|gs://|azblob://|https://)\S+$",
        description="URL of the Pulumi backend, e.g. s3://BUCKET; without it, a folder of one machine.",
    )
    secrets_provider: str = Field(
        default=PASSPHRASE,
        pattern=r"^(passphrase|awskms://\S+)$",
        description="What encrypts the secrets of the stacks: passphrase, or awskms://KEY?region=REGION.",
    )
    cluster: Annotated[
        Annotated[Literal["embedded"], Tag(EMBEDDED)] | Annotated[ExistingCluster, Tag(_EXISTING)],
        Discriminator(_cluster_kind),
    ] = Field(description="An existing cluster, by kubeconfig and context.")
    images: dict[str, ImageReference] | None = Field(
        default=None,
        description="Image references by digest, REPOSITORY@sha256:DIGEST, that the cluster can pull.",
        json_schema_extra={"propertyNames": {"enum": list[Any](_IMAGE_NAMES)}},
        validate_default=True,
    )
    offsite_store: OffsiteStore | None = Field(
        default=None,
        description="S3 store of the off-site backups. The first deploy reads its access key from "
        "ESQ_OFFSITE_STORE_KEY_ID and ESQ_OFFSITE_STORE_KEY_SECRET.",
    )
    public_address: str | None = Field(
        default=None,
        pattern=r"^https://[^/\s]+$",
        description="https://HOST[:PORT] of the load balancer in front of the platform's node ports.",
    )
    public_ca_certificate: ExistingFile | None = Field(
        default=None, description="PEM file of a private CA of the public address; relative to this file."
    )

    @field_validator("images")
    @classmethod
    def _require_images(cls, images: dict[str, str] | None, info: ValidationInfo) -> dict[str, str] | None:
        if info.data.get("cluster") == EMBEDDED:
            return images
        settings = info.data.get("observability")
        optional = () if settings and settings.enabled else IMAGES[Layer.OBSERVABILITY]
        required = [name for names in IMAGES.values() if names is not optional for name in names]
        wrong = {
            "missing": [name for name in required if name not in (images or {})],
            "unknown": [name for name in images or {} if name not in _IMAGE_NAMES],
        }
        if any(wrong.values()):
            lists = "; ".join(f"{kind}: {', '.join(listed)}" for kind, listed in wrong.items() if listed)
            raise ValueError(f"an existing cluster pulls images, each by digest; {lists}")
        return images

    @property
    def existing_cluster(self) -> ExistingCluster | None:
        """The existing cluster; None for the embedded one."""
        return self.cluster if isinstance(self.cluster, ExistingCluster) else None

    @property
    def platform_settings(self) -> dict[str, Any]:
        """The settings of all layers, by name."""
        return {name: getattr(self, name) for name in PlatformSettings.model_fields}


LOCAL_DEFINITION = EnvironmentDefinition(
    cluster=EMBEDDED,
    zones=("zone-a", "zone-b", "zone-c"),
    storage_class="esq-local",
    sizes=LOCAL_SIZES,
    simulator=True,
)
"""The definition of `local`."""


def load_definition(file: Path) -> EnvironmentDefinition:
    """Return the definition in a file.

    Args:
        file: the file; paths in it are relative to its folder.

    Raises:
        ProblemsError: all problems of the file, each with its field.
    """
    try:
        return parse_definition(file.read_text(encoding="utf-8"), file)
    except UnicodeDecodeError as error:
        raise _invalid(file, [Problem(f"not valid UTF-8: {error}", str(file), _REMEDY)]) from error


def parse_definition(text: str, file: Path) -> EnvironmentDefinition:
    """Return the definition in a text.

    Args:
        text: YAML.
        file: its file, for messages; paths in the text are relative to its folder.

    Raises:
        ProblemsError: all problems of the text, each with its field.
    """
    try:
        values = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise _invalid(file, [Problem(f"not valid YAML: {error}", str(file), _REMEDY)]) from error
    try:
        definition = EnvironmentDefinition.model_validate(values, context={"folder": file.parent})
    except ValidationError as error:
        problems = problems_of(error, source=file.name, remedy=_REMEDY, omit=(EMBEDDED, _EXISTING))
        raise _invalid(file, problems) from error
    if definition.existing_cluster is None:
        problem = Problem(
            "only `local` has the embedded cluster",
            f"{file.name}: cluster",
            "Name the kubeconfig and the context of an existing cluster.",
        )
        raise _invalid(file, [problem])
    return definition


def json_schema() -> dict[str, Any]:
    """Return the JSON schema of a definition's file, for editors."""
    schema = EnvironmentDefinition.model_json_schema()
    schema["properties"]["cluster"] = {
        "$ref": "#/$defs/ExistingCluster",
        "description": schema["properties"]["cluster"]["description"],
    }
    schema["required"] = [*schema["required"], "images"]
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": "esq environment"}


def _invalid(file: Path, problems: list[Problem]) -> ProblemsError:
    return ProblemsError(f"the definition of `{file.stem}` is invalid: {file}", problems)
