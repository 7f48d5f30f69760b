"""Versions of the Debian packages in the images: all are built again when one changes, e.g. for security.

apt resolves the versions with package lists of its own and installs nothing, which takes some seconds.
`esq images build` always resolves them, a deploy once in `MAX_AGE_SECONDS`.
"""

from __future__ import annotations

import hashlib
import json
import time
from typing import TYPE_CHECKING

from infra.files import write_atomically
from infra.subprocesses import CommandFailedError, run

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

MAX_AGE_SECONDS = 7 * 86_400.0
"""Deploys may use versions of this age."""
_TIMEOUT_SECONDS = 300.0


class PackageVersions:
    """The resolved versions of packages and their dependencies.

    Args:
        folder: folder of apt's package lists and of the result.
        sources: file with package sources.
        packages: names of the packages.
    """

    def __init__(self, folder: Path, sources: Path, packages: Iterable[str]) -> None:
        self._folder = folder
        self._sources = sources
        self._packages = sorted(set(packages))
        self._file = folder / "versions.json"

    def digest(self, max_age_seconds: float = MAX_AGE_SECONDS) -> str:
        """Return a hash of all versions.

        Args:
            max_age_seconds: accepted age of the last result; 0 resolves them again.

        Raises:
            CommandFailedError: apt fails, and there is no earlier result to use or `max_age_seconds` is 0.
        """
        recorded = json.loads(self._file.read_text()) if self._file.exists() else {}
        if recorded.get("packages") != self._packages:
            recorded = {}
        if recorded and time.time() - recorded["resolved_at"] < max_age_seconds:
            return str(recorded["digest"])
        try:
            versions = self._resolve()
        except CommandFailedError:
            if recorded and max_age_seconds:
                return str(recorded["digest"])
            raise
        digest = hashlib.sha256("\n".join(versions).encode()).hexdigest()
        result = {"packages": self._packages, "digest": digest, "resolved_at": time.time()}
        write_atomically(self._file, json.dumps(result | {"versions": versions}, indent=1))
        return digest

    def _resolve(self) -> list[str]:
        """Return `name version` of each package that an empty system would get."""
        for folder in ("state/lists/partial", "cache/archives/partial", "parts"):
            (self._folder / folder).mkdir(parents=True, exist_ok=True)
        (self._folder / "status").touch()
        self._apt("update")
        output = self._apt("--simulate", "install", "--no-install-recommends", "?essential", *self._packages)
        return sorted(_name_and_version(line) for line in output.splitlines() if line.startswith("Inst "))

    def _apt(self, *arguments: str) -> str:
        settings = {
            "Dir::State": self._folder / "state",
            "Dir::State::status": self._folder / "status",
            "Dir::Cache": self._folder / "cache",
            "Dir::Etc::sourcelist": self._sources,
            "Dir::Etc::sourceparts": self._folder / "parts",
            "APT::Sandbox::User": "root",
            "Acquire::Languages": "none",
            "APT::Update::Error-Mode": "any",
        }
        options = [f"--option={name}={value}" for name, value in settings.items()]
        return run(["apt-get", "--quiet", *options, *arguments], timeout=_TIMEOUT_SECONDS)


def _name_and_version(line: str) -> str:
    """Return `name version` of a line such as `Inst redis-server (5:7.0.15-1 Debian:12 [amd64])`."""
    _, name, version, *_ = line.split()
    return f"{name} {version.lstrip('(')}"
