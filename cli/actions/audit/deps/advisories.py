"""Known vulnerabilities: advisories in the OSV format, from a file or folder that the user brings.

The OSV database (an archive per ecosystem) and PyPA's advisory database (a folder) have this format. There
may be no network, so nothing is downloaded; without a database nothing is checked, and the report says so.
"""

from __future__ import annotations

import json
import re
import zipfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import yaml

from cli.actions.audit.deps.inventory import MAVEN, PYPI, normalise
from infra.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from pathlib import Path

    from cli.actions.audit.deps.inventory import Component

_RANGES = ("SEMVER", "ECOSYSTEM")
"""Ranges of versions; those of commits need the history."""
_PART = re.compile(r"\d+|[a-z]+", re.IGNORECASE)
_FORMATS: dict[str, Callable[[str], Any]] = {
    ".json": json.loads,
    ".yaml": yaml.safe_load,
    ".yml": yaml.safe_load,
}


@dataclass(frozen=True)
class Vulnerability:
    """A vulnerability of a component.

    Attributes:
        component: name and version.
        id: id of the advisory.
        aliases: its other ids, e.g. of CVE.
        summary: what it is about.
        fixed: versions without it.
    """

    component: str
    id: str
    aliases: tuple[str, ...]
    summary: str
    fixed: tuple[str, ...]


@dataclass(frozen=True)
class AdvisoryDatabase:
    """The advisories about the components.

    Attributes:
        advisories: number of advisories in the database.
        modified: time of the last change of one (RFC 3339): how old the database is.
        ecosystems: ecosystems that it has advisories for.
        vulnerabilities: those of the components.
    """

    advisories: int
    modified: str
    ecosystems: tuple[str, ...]
    vulnerabilities: tuple[Vulnerability, ...]


def check_advisories(source: Path, components: Iterable[Component]) -> AdvisoryDatabase:
    """Compare the components with a database.

    Args:
        source: a `.zip` of OSV, or a folder of advisories in JSON or YAML.
        components: the components.

    Raises:
        UsageError: the source has no advisories, or one that cannot be read.
    """
    by_name = _by_name(components)
    count, modified, ecosystems, vulnerabilities = 0, "", set(), dict[tuple[str, str], Vulnerability]()
    for advisory in _read(source):
        count += 1
        modified = max(modified, str(advisory.get("modified", "")))
        for affected in advisory.get("affected", ()) if "withdrawn" not in advisory else ():
            package = affected.get("package", {})
            ecosystem = str(package.get("ecosystem", "")).partition(":")[0]
            ecosystems.add(ecosystem)
            for component in by_name.get(_key(ecosystem, str(package.get("name", ""))), ()):
                if is_affected(component.version, affected):
                    _add(vulnerabilities, component, advisory, affected)
    if not count:
        raise UsageError(
            "there are no advisories", location=str(source), remedy="Give a database of OSV or PyPA."
        )
    return AdvisoryDatabase(count, modified, tuple(sorted(ecosystems)), tuple(vulnerabilities.values()))


def _read(source: Path) -> Iterator[Mapping[str, Any]]:
    if not source.exists():
        raise UsageError(
            "the advisory database does not exist", location=str(source), remedy="Give its path."
        )
    try:
        for suffix, content in _documents(source):
            document = _FORMATS[suffix](content)
            if isinstance(document, dict) and "id" in document:
                yield document
    except (zipfile.BadZipFile, ValueError, yaml.YAMLError) as error:
        raise UsageError(
            "the advisory database cannot be read",
            location=str(source),
            remedy="Give a `.zip` of OSV, or a folder of advisories.",
            detail=str(error)[:500],
        ) from error


def _documents(source: Path) -> Iterator[tuple[str, str]]:
    """Yield the suffix and the content of each file."""
    if source.is_dir():
        for path in sorted(path for path in source.rglob("*") if path.suffix in _FORMATS):
            yield path.suffix, path.read_text(encoding="utf-8")
        return
    with zipfile.ZipFile(source) as archive:
        for name in archive.namelist():
            suffix = f".{name.rpartition('.')[2]}"
            if suffix in _FORMATS:
                yield suffix, archive.read(name).decode()


def _by_name(components: Iterable[Component]) -> dict[tuple[str, str], list[Component]]:
    by_name: dict[tuple[str, str], list[Component]] = {}
    for component in dict.fromkeys(components):
        by_name.setdefault(_key(component.ecosystem, component.name), []).append(component)
    return by_name


def _key(ecosystem: str, name: str) -> tuple[str, str]:
    """Return the key of a package. The group of an artifact of Maven may not be known: any one counts."""
    if ecosystem == MAVEN:
        return ecosystem, name.rpartition(":")[2]
    return ecosystem, normalise(name) if ecosystem == PYPI else name


def _add(
    vulnerabilities: dict[tuple[str, str], Vulnerability],
    component: Component,
    advisory: Mapping[str, Any],
    affected: Mapping[str, Any],
) -> None:
    """Add a vulnerability, unless it is known by another of its ids."""
    identifiers = (str(advisory["id"]), *map(str, advisory.get("aliases", ())))
    if any((str(component), identifier) in vulnerabilities for identifier in identifiers):
        return
    if any(
        set(identifiers) & {known.id, *known.aliases}
        for (name, _), known in vulnerabilities.items()
        if name == str(component)
    ):
        return
    fixed = [
        event["fixed"] for span in affected.get("ranges", ()) for event in span["events"] if "fixed" in event
    ]
    summary = str(advisory.get("summary") or str(advisory.get("details", "")).split("\n")[0])[:200]
    vulnerabilities[str(component), identifiers[0]] = Vulnerability(
        str(component), identifiers[0], identifiers[1:], summary, tuple(fixed)
    )


def is_affected(version: str, affected: Mapping[str, Any]) -> bool:
    """Return whether a version is affected.

    Args:
        version: the version.
        affected: entry `affected` of an advisory.
    """
    plain = version.removeprefix("v")
    if plain in {str(item).removeprefix("v") for item in affected.get("versions", ())}:
        return True
    return any(
        _in_range(plain, span["events"]) for span in affected.get("ranges", ()) if span["type"] in _RANGES
    )


def _in_range(version: str, events: Iterable[Mapping[str, str]]) -> bool:
    """Return whether a version is in a range: the last event that is not after it decides."""
    is_inside = False
    for event in sorted(events, key=lambda item: version_key(next(iter(item.values())))):
        (kind, bound), key = next(iter(event.items())), version_key(version)
        if kind == "introduced" and key >= version_key(bound):
            is_inside = True
        elif (kind == "fixed" and key >= version_key(bound)) or (
            kind == "last_affected" and key > version_key(bound)
        ):
            is_inside = False
    return is_inside


def version_key(version: str) -> tuple[tuple[int, int | str], ...]:
    """Return a key that orders versions: numbers by value, a pre-release before its release."""
    plain = version.removeprefix("v").partition("+")[0]
    parts: list[tuple[int, int | str]] = [
        (2, int(part)) if part.isdigit() else (0, part.lower()) for part in _PART.findall(plain)
    ]
    end = next((index for index, (kind, _) in enumerate(parts) if kind == 0), len(parts))
    release = parts[:end]
    while release and release[-1] == (2, 0):
        release.pop()
    return (*release, *parts[end:], (1, 0))
