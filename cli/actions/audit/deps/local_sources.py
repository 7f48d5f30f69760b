"""Sources of Go modules, crates and jars that builds have left on this machine: nothing is downloaded."""

from __future__ import annotations

import os
import re
import zipfile
from functools import cache
from pathlib import Path

from cli.actions.deployment_target import cache_dir

_POM = re.compile(r"META-INF/maven/([^/]+)/([^/]+)/pom.properties")


def go_source(module: str, version: str) -> Path | None:
    """Return the folder of a module in the module cache; None if it is not there.

    Args:
        module: path of the module.
        version: its version.
    """
    modules = Path(
        os.environ.get("GOMODCACHE") or Path(os.environ.get("GOPATH") or Path.home() / "go") / "pkg/mod"
    )
    escaped = re.sub("[A-Z]", lambda match: f"!{match[0].lower()}", f"{module}@{version}")
    return folder if (folder := modules / escaped).is_dir() else None


def cargo_source(crate: str, version: str, file: str) -> Path | None:
    """Return a file of a crate; None if its sources are not there.

    Args:
        crate: name of the crate.
        version: its version.
        file: path of the file in the crate.
    """
    home = Path(os.environ.get("CARGO_HOME") or Path.home() / ".cargo")
    return next(iter(sorted(home.glob(f"registry/src/*/{crate}-{version}/{file}"))), None)


def jar_source(file_name: str) -> Path | None:
    """Return a jar in the cache of the toolchain; None if it is not there."""
    return _jars().get(file_name)


def maven_group(file_name: str) -> str | None:
    """Return the group of a jar, as its metadata says; None if the jar is not there or does not say it."""
    jar = jar_source(file_name)
    if jar is None:
        return None
    with zipfile.ZipFile(jar) as archive:
        matches = [match for name in archive.namelist() if (match := _POM.fullmatch(name))]
    artifact = next((match for match in matches if file_name.startswith(match[2])), None)
    return artifact[1] if artifact else None


@cache
def _jars() -> dict[str, Path]:
    return {path.name: path for path in sorted((cache_dir() / "toolchain").glob("kafka-*/libs/*.jar"))}
