"""Everything that is installed or built, by part: from the lock files and the pins of the tools.

A part is what is delivered together: the toolkit, the packages of an image, a tool.
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from cli.actions.audit.deps.local_sources import cargo_source, maven_group
from infra.zones.toolchain.tools import PINS_FOLDER, TOOLS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from infra.zones.toolchain.tools import Tool

PYPI, GO, CRATES, MAVEN = "PyPI", "Go", "crates.io", "Maven"
"""Ecosystems, as advisories name them."""
PYTHON_PARTS = {"toolkit": "esq", "image services": "services", "image postgres": "patroni"}
"""Lock file of each part in Python."""
_PROJECT = Path(__file__).resolve().parents[4]
_LOCKED = re.compile(r"^([A-Za-z0-9][\w.\-]*)==([^\s;\\]+)", re.MULTILINE)
_HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")
_REQUIRED = re.compile(r"^\s*(?:require\s+)?([\w.\-]+\.[\w.\-]+/?[\w./~\-]*)\s+(v\S+)", re.MULTILINE)
_REPLACED = re.compile(r"^\s*(?:replace\s+)?(\S+)(?:\s+v\S+)?\s+=>\s+(\S+)\s+(v\S+)", re.MULTILINE)
_JAR = re.compile(r"^(.+?)-(\d[\w.\-]*)\.jar$")


@dataclass(frozen=True)
class Component:
    """A package in one version.

    Attributes:
        ecosystem: where it comes from: `PyPI`, `Go`, `crates.io` or `Maven`.
        name: name of the package there; of Maven `group:artifact`, or the artifact if the group is not known.
        version: its version.
        hashes: SHA-256 of the files that may be installed.
    """

    ecosystem: str
    name: str
    version: str
    hashes: tuple[str, ...] = ()

    def __str__(self) -> str:
        """Return its name and version."""
        return f"{self.name} {self.version}"


@dataclass(frozen=True)
class Part:
    """What is delivered together.

    Attributes:
        name: its name, e.g. `image services`.
        components: its packages.
        complete: whether all packages are known; those of a crate are in its sources, which may not be here.
    """

    name: str
    components: tuple[Component, ...]
    complete: bool = True


def read_parts(project: Path = _PROJECT) -> list[Part]:
    """Return all parts.

    Args:
        project: the checkout with the lock files.
    """
    parts = [
        Part(name, tuple(parse_lock((project / "locks" / f"{lock}.txt").read_text(encoding="utf-8"))))
        for name, lock in PYTHON_PARTS.items()
    ]
    return parts + [_tool_part(tool) for tool in TOOLS]


def parse_lock(content: str) -> Iterator[Component]:
    """Yield the packages of a lock file; their names are normalised as the index does it."""
    matches = list(_LOCKED.finditer(content))
    ends = [match.start() for match in matches[1:]] + [len(content)]
    for match, end in zip(matches, ends, strict=True):
        yield Component(PYPI, normalise(match[1]), match[2], tuple(_HASH.findall(content[match.end() : end])))


def normalise(name: str) -> str:
    """Return the name of a Python package as the index compares it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _tool_part(tool: Tool) -> Part:
    name = f"tool {tool.name}"
    if tool.kind == "go":
        return Part(name, tuple(parse_go_mod((PINS_FOLDER / "go" / tool.name / "go.mod").read_text())))
    if tool.kind == "maven":
        checksums = (PINS_FOLDER / tool.name / "SHA256SUMS").read_text()
        return Part(name, tuple(_with_group(jar) for jar in parse_jars(checksums)))
    lock = cargo_source(tool.package, tool.version, "Cargo.lock")
    if lock is None:
        return Part(name, (Component(CRATES, tool.package, tool.version),), complete=False)
    return Part(name, tuple(parse_cargo_lock(lock.read_text(encoding="utf-8"))))


def parse_go_mod(content: str) -> Iterator[Component]:
    """Yield the required modules of a `go.mod`, after its replacements."""
    lines = re.sub(r"//.*", "", content)
    replaced = {match[1]: (match[2], match[3]) for match in _REPLACED.finditer(lines)}
    required = dict(_REQUIRED.findall(_REPLACED.sub("", lines)))
    for name, version in required.items():
        module, effective = replaced.get(name, (name, version))
        yield Component(GO, module, effective)


def parse_jars(checksums: str) -> Iterator[Component]:
    """Yield the artifacts of a list of checksums; their names have no group."""
    for line in checksums.splitlines():
        digest, file = line.split()
        if match := _JAR.match(file):
            yield Component(MAVEN, match[1], match[2], (digest,))


def _with_group(jar: Component) -> Component:
    group = maven_group(f"{jar.name}-{jar.version}.jar")
    return replace(jar, name=f"{group}:{jar.name}") if group else jar


def parse_cargo_lock(content: str) -> Iterator[Component]:
    """Yield the crates of a `Cargo.lock`."""
    for package in tomllib.loads(content)["package"]:
        checksum = package.get("checksum")
        yield Component(CRATES, package["name"], package["version"], (checksum,) if checksum else ())
