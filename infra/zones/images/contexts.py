"""Build contexts: the content of each image besides its Containerfile, and a key that changes with it."""

from __future__ import annotations

import compileall
import hashlib
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from infra.subprocesses import PYTHON_MODULE, run

if TYPE_CHECKING:
    from collections.abc import Callable

    from infra.zones.control_plane import Tools

PROJECT = Path(__file__).resolve().parents[3]
FOLDER = Path(__file__).parent
SUITE = "bookworm"
APT_SOURCES = Path("/etc/apt/sources.list.d/debian.sources")
"""The package sources of the host, so that its mirror is used as well."""
PYTHON = "3.11"
_BUILD_TIMEOUT_SECONDS = 900.0
_IGNORE_NON_CODE = shutil.ignore_patterns("__pycache__", "*.pyc", "*.proto", "*.pyi")


@dataclass(frozen=True)
class BuildContext:
    """The build context of an image.

    Attributes:
        image: name of the image and of the folder with its Containerfile.
        key: hash of the content; downloads are hashed by their pins.
        populate: writes the content into a folder.
        parent: base image; None for the first.
    """

    image: str
    key: str
    populate: Callable[[Path], None]
    parent: str | None = "base"


def build_contexts(tools: Tools) -> list[BuildContext]:
    """Return the contexts of all images, parents first."""
    return [
        BuildContext("base", _hash("1", SUITE, *_BASE_PACKAGES), _root_file_system, parent=None),
        BuildContext("postgres", _hash(_lock_text("patroni")), lambda folder: _libraries("patroni", folder)),
        BuildContext("redis", "", lambda _: None),
        BuildContext(
            "kafka",
            _hash(*_jar_names(tools.path("kafka"))),
            lambda folder: _jars(tools.path("kafka"), folder),
        ),
        BuildContext(
            "garage", _hash(str(tools.path("garage"))), lambda folder: _binary(tools.path("garage"), folder)
        ),
        BuildContext("services", _hash(_lock_text("services"), *_source_digests()), _application),
    ]


_BASE_PACKAGES = ("python3",)
_EXCLUDED_PATHS = ("/usr/share/doc/*", "/usr/share/man/*", "/usr/share/locale/*", "/usr/share/info/*")


def _root_file_system(folder: Path) -> None:
    """Bootstrap Debian from the package sources of the host, without documentation and package lists."""
    run(
        [
            *("mmdebstrap", "--variant=apt", f"--include={','.join(_BASE_PACKAGES)}"),
            *(f"--dpkgopt=path-exclude={pattern}" for pattern in _EXCLUDED_PATHS),
            '--customize-hook=rm -rf "$1"/var/log/*.log "$1"/var/log/apt "$1"/var/cache/apt/*.bin',
            *(SUITE, str(folder / "rootfs.tar"), "-"),
        ],
        stdin=APT_SOURCES.read_text(),
        timeout=_BUILD_TIMEOUT_SECONDS,
    )


def _libraries(lock: str, folder: Path) -> None:
    """Install the packages of a lock file into `deps`: verified by hash, and compiled for read-only pods."""
    requirements = PROJECT / "locks" / f"{lock}.txt"
    run(
        [
            *(*PYTHON_MODULE, "uv", "pip", "install", "--quiet", "--no-config", "--compile-bytecode"),
            *("--python-version", PYTHON, "--require-hashes"),
            *("--target", str(folder / "deps"), "--requirement", str(requirements)),
        ],
        timeout=_BUILD_TIMEOUT_SECONDS,
    )
    shutil.rmtree(folder / "deps" / "bin", ignore_errors=True)


def _jars(libs: Path, folder: Path) -> None:
    source = libs / "libs" if (libs / "libs").is_dir() else libs
    shutil.copytree(source, folder / "libs")


def _binary(path: Path, folder: Path) -> None:
    shutil.copy2(path, folder / path.name)


def _application(folder: Path) -> None:
    _libraries("services", folder)
    shutil.copytree(PROJECT / "services", folder / "services", ignore=_IGNORE_NON_CODE)
    compileall.compile_dir(folder / "services", quiet=1, stripdir=str(folder), prependdir="/opt/esq/app")


def _source_digests() -> list[str]:
    paths = sorted(
        path
        for path in (PROJECT / "services").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    )
    return [f"{path.relative_to(PROJECT)}:{hashlib.sha256(path.read_bytes()).hexdigest()}" for path in paths]


def _jar_names(folder: Path) -> list[str]:
    """Return the names of the jars below a folder: they contain versions, and their content was verified."""
    return sorted(path.name for path in folder.rglob("*.jar"))


def _lock_text(name: str) -> str:
    return (PROJECT / "locks" / f"{name}.txt").read_text()


def _hash(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()
