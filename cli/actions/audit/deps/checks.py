"""Comparison of the dependencies with the policy. Each check returns what it accepts and what it does not."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from cli.actions.audit.deps.inventory import PYPI
from cli.actions.audit.deps.licences import installed_packages, is_allowed
from cli.actions.audit.deps.policy import find_reason, unused_exceptions

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from cli.actions.audit.deps.advisories import Vulnerability
    from cli.actions.audit.deps.imports import ImportFinding
    from cli.actions.audit.deps.inventory import Component, Part
    from cli.actions.audit.deps.policy import Policy

_BYTES_PER_MEGABYTE = 1_000_000


@dataclass
class Findings:
    """Findings of a check.

    Attributes:
        violations: what the policy does not accept.
        accepted: what it accepts, with the reason.
    """

    violations: list[str] = field(default_factory=list)
    accepted: list[str] = field(default_factory=list)

    def add(self, text: str, name: str, exceptions: Mapping[str, str]) -> None:
        """Add a finding: accepted if there is an exception for the name.

        Args:
            text: the finding.
            name: name of its component.
            exceptions: reason by name.
        """
        reason = find_reason(exceptions, name)
        if reason is None:
            self.violations.append(text)
        else:
            self.accepted.append(f"{text}: {reason}")

    def require_use(self, kind: str, exceptions: Mapping[str, str], names: Iterable[str]) -> None:
        """Report exceptions that nothing needs any more.

        Args:
            kind: section of the policy.
            exceptions: reason by name.
            names: names that needed an exception.
        """
        for pattern in unused_exceptions(exceptions, names):
            self.violations.append(
                f"the exception {kind}.{pattern} is not needed: remove it from policy.yaml"
            )


def check_licences(licences: Mapping[Component, str | None], policy: Policy) -> Findings:
    """Compare the licences with the allowed ones.

    Args:
        licences: licence by component; None if it is not known on this machine.
        policy: what is accepted.
    """
    findings = Findings()
    for component, licence in licences.items():
        if licence is not None and not is_allowed(licence, policy.licences.allowed):
            text = f"{component} has the licence {licence}"
            findings.add(text, component.name, policy.licences.exceptions)
    return findings


def check_imports(imports: Iterable[ImportFinding], policy: Policy) -> Findings:
    """Compare unused and missing dependencies with the accepted ones.

    Args:
        imports: the findings of deptry.
        policy: what is accepted.
    """
    findings, first = (
        Findings(),
        {(item.part, item.kind, item.name): item for item in reversed(list(imports))},
    )
    for item in sorted(first.values(), key=lambda item: (item.part, item.kind, item.name)):
        location = f" ({item.location})" if item.location else ""
        findings.add(f"{item.part}: {item.name} is {item.kind}{location}", item.name, policy.imports)
    findings.require_use("imports", policy.imports, {name for _, _, name in first})
    return findings


def check_duplicates(parts: Iterable[Part], policy: Policy) -> Findings:
    """Compare the versions of the same Python package in all parts.

    Args:
        parts: all parts.
        policy: what is accepted.
    """
    locked: dict[str, list[set[str]]] = defaultdict(list)
    for part in parts:
        for name, versions in _python_versions(part).items():
            locked[name].append(versions)
    several = {name: sets for name, sets in sorted(locked.items()) if not set.intersection(*sets)}
    findings = Findings()
    for name, sets in several.items():
        findings.add(
            f"{name} has the versions {', '.join(sorted(set.union(*sets)))}", name, policy.duplicates
        )
    findings.require_use("duplicates", policy.duplicates, several)
    return findings


def _python_versions(part: Part) -> dict[str, set[str]]:
    """Return the versions of each package; a lock may have one for each version of Python."""
    versions: dict[str, set[str]] = defaultdict(set)
    for component in part.components:
        if component.ecosystem == PYPI:
            versions[component.name].add(component.version)
    return versions


def check_vulnerabilities(vulnerabilities: Sequence[Vulnerability], policy: Policy) -> Findings:
    """Compare known vulnerabilities with the accepted ones.

    Args:
        vulnerabilities: those of the components.
        policy: what is accepted.
    """
    findings = Findings()
    for item in vulnerabilities:
        fixed = f"; fixed in {', '.join(item.fixed)}" if item.fixed else ""
        names = [item.id, *item.aliases]
        name = next((name for name in names if name in policy.vulnerabilities), item.id)
        text = f"{item.component} has {', '.join(names)}: {item.summary}{fixed}"
        findings.add(text, name, policy.vulnerabilities)
    return findings


def check_sizes(megabytes: Mapping[str, float], policy: Policy) -> Findings:
    """Compare installed sizes with their limits.

    Args:
        megabytes: size by part.
        policy: what is accepted.
    """
    return Findings(
        [
            f"{name} takes {size:.0f} MB, limit {policy.max_megabytes[name]:g} MB"
            for name, size in megabytes.items()
            if size > policy.max_megabytes[name]
        ]
    )


def installed_megabytes(part: Part) -> float:
    """Return the size of the packages of a part that are installed in this environment."""
    packages = [installed_packages().get(component.name) for component in part.components]
    files = [file for package in packages if package for file in package.files or ()]
    return round(sum(file.size or 0 for file in files) / _BYTES_PER_MEGABYTE, 1)
