"""Software bills of materials in the format CycloneDX, one for each part."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cli.actions.audit.deps.inventory import CRATES, GO, MAVEN, PYPI
from cli.actions.audit.extras import require_module

if TYPE_CHECKING:
    from collections.abc import Mapping

    from packageurl import PackageURL

    from cli.actions.audit.deps.inventory import Component, Part

_URL_TYPES = {PYPI: "pypi", GO: "golang", CRATES: "cargo", MAVEN: "maven"}


def render_sbom(part: Part, licences: Mapping[Component, str | None]) -> str:
    """Return the SBOM of a part (CycloneDX 1.6, JSON).

    Args:
        part: the part.
        licences: licence of each component; None if it is not known.

    Raises:
        UsageError: the library is not installed.
    """
    require_module("cyclonedx")
    from cyclonedx.model import HashAlgorithm, HashType  # noqa: PLC0415 - an extra
    from cyclonedx.model.bom import Bom  # noqa: PLC0415 - same
    from cyclonedx.model.component import Component as SbomComponent  # noqa: PLC0415 - same
    from cyclonedx.model.component import ComponentType  # noqa: PLC0415 - same
    from cyclonedx.model.license import DisjunctiveLicense  # noqa: PLC0415 - same
    from cyclonedx.output.json import JsonV1Dot6  # noqa: PLC0415 - same

    bom, root = Bom(), SbomComponent(name=part.name, type=ComponentType.APPLICATION, bom_ref=part.name)
    bom.metadata.component = root
    for component in part.components:
        licence = licences.get(component)
        bom.components.add(
            SbomComponent(
                name=component.name,
                version=component.version,
                type=ComponentType.LIBRARY,
                bom_ref=f"{component.ecosystem}/{component.name}@{component.version}",
                purl=_package_url(component),
                licenses=[DisjunctiveLicense(name=licence)] if licence else [],
                # A hash is that of one file: a Python package has one for each platform.
                hashes=[HashType(alg=HashAlgorithm.SHA_256, content=item) for item in component.hashes]
                if len(component.hashes) == 1
                else [],
            )
        )
    bom.register_dependency(root, bom.components)
    return str(JsonV1Dot6(bom).output_as_string(indent=1))


def _package_url(component: Component) -> PackageURL:
    """Return the package URL, which names the package in all tools."""
    from packageurl import PackageURL  # noqa: PLC0415 - an extra

    separator = ":" if component.ecosystem == MAVEN else "/"
    namespace, _, name = component.name.rpartition(separator)
    return PackageURL(_URL_TYPES[component.ecosystem], namespace or None, name, component.version)
