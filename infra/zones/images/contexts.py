"""Build contexts: the content of each image besides its Containerfile, and a key that changes with it."""

from __future__ import annotations

import compileall
import hashlib
import re
import shutil
from dataclasses import dataclass
from importlib.metadata import distribution
from pathlib import Path
from typing import TYPE_CHECKING

from infra.errors import EsqError
from infra.names import LOAD_IMAGE
from infra.subprocesses import PYTHON_MODULE, run
from infra.zones import packages
from infra.zones.packages import SUITE

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from infra.zones.control_plane import Tools

PROJECT = Path(__file__).resolve().parents[3]
FOLDER = Path(__file__).parent
APT_SETTINGS = Path("/etc/apt")
"""The settings of the host, so that its mirror and its proxy are used as well."""
PYTHON = "3.11"
TOOLS = ("garage", "kafka")
"""Tools whose programs are content of images: without them, no key is known."""
LOADTEST_SOURCES = (
    *("loadtests", "infra/__init__.py", "infra/errors.py"),
    *(f"infra/measurements/{name}.py" for name in ("__init__", "run_values", "slo_evaluation")),
    *("services/__init__.py", "services/contracts"),
)
"""What the locustfiles import; a test runs them with nothing else."""
OBSERVABILITY_PROGRAMS = ("victoria-metrics", "vmalert", "vmauth", "victoria-logs", "vlagent")
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


def build_contexts(tools: Tools, package_versions: str) -> list[BuildContext]:
    """Return the contexts of all images, parents first.

    Args:
        tools: the toolchain with Garage's binary and Kafka's jars.
        package_versions: hash of the versions of all Debian packages in the images.
    """
    garage = tools.path("garage")
    return [
        BuildContext("base", _hash(SUITE, package_versions), _root_file_system, parent=None),
        BuildContext("postgres", _hash(_lock_text("patroni")), lambda folder: _libraries("patroni", folder)),
        BuildContext("redis", "", lambda _: None),
        BuildContext(
            "kafka",
            _hash(*_jar_names(tools.path("kafka"))),
            lambda folder: _jars(tools.path("kafka"), folder),
        ),
        BuildContext(
            "garage",
            _hash(hashlib.sha256(garage.read_bytes()).hexdigest()),
            lambda folder: _binary(garage, folder),
        ),
        BuildContext("services", _hash(_lock_text("services"), *_source_digests("services")), _application),
        BuildContext(
            LOAD_IMAGE,
            _hash(_lock_text("loadtests"), *_source_digests(*LOADTEST_SOURCES)),
            _load_generators,
        ),
        *_observability(tools),
    ]


def _observability(tools: Tools) -> list[BuildContext]:
    """Return the context of the image of the observability layer; nothing before its programs are built."""
    try:
        programs = [tools.path(name) for name in OBSERVABILITY_PROGRAMS]
    except EsqError:
        return []
    authorities = Path(str(distribution("certifi").locate_file("certifi/cacert.pem")))
    digests = [hashlib.sha256(file.read_bytes()).hexdigest() for file in (*programs, authorities)]

    def populate(folder: Path) -> None:
        _binaries(programs, folder)
        (folder / "certificates").mkdir()
        shutil.copyfile(authorities, folder / "certificates" / "ca-certificates.crt")

    return [BuildContext("observability", _hash(*digests), populate)]


def debian_packages() -> list[str]:
    """Return the Debian packages that the images install, without those that they depend on."""
    recipes = [path.read_text() for path in sorted(FOLDER.glob("*/Containerfile"))]
    return [
        *_BASE_PACKAGES,
        *(name for text in recipes for line in _INSTALLED.findall(text) for name in line.split()),
    ]


def image_names() -> list[str]:
    """Return the names of all images."""
    return sorted(path.parent.name for path in FOLDER.glob("*/Containerfile"))


def sources_file() -> Path:
    """Return the file with the host's package sources of Debian.

    Raises:
        EsqError: the host has none.
    """
    path = packages.sources_file()
    if path is None:
        raise EsqError(
            f"no package sources of Debian {SUITE}",
            location=str(APT_SETTINGS),
            remedy=f"Add sources of {SUITE}: images are built from its packages.",
        )
    return path


def copy_apt_settings(folder: Path) -> None:
    """Copy the host's settings of apt for a build, without package sources of others than Debian.

    Args:
        folder: folder to create. A copy, since packages write there.
    """
    source = sources_file()
    shutil.copytree(APT_SETTINGS, folder, ignore=shutil.ignore_patterns("sources.list", "sources.list.d"))
    target = folder / source.relative_to(APT_SETTINGS)
    target.parent.mkdir(exist_ok=True)
    shutil.copy2(source, target)


_INSTALLED = re.compile(r"apt-get install .*--no-install-recommends ([a-z0-9.+ -]+)")
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
        stdin=sources_file().read_text(),
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


def _binaries(paths: Sequence[Path], folder: Path) -> None:
    (folder / "bin").mkdir()
    for path in paths:
        _binary(path, folder / "bin")


def _application(folder: Path) -> None:
    _libraries("services", folder)
    shutil.copytree(PROJECT / "services", folder / "services", ignore=_IGNORE_NON_CODE)
    compileall.compile_dir(folder / "services", quiet=1, stripdir=str(folder), prependdir="/opt/esq/app")


def _load_generators(folder: Path) -> None:
    _libraries("loadtests", folder)
    copy_load_generators(folder / "app")


def copy_load_generators(folder: Path) -> None:
    """Copy the locustfiles and what they import into a folder."""
    for name in LOADTEST_SOURCES:
        source, target = PROJECT / name, folder / name
        if source.is_dir():
            shutil.copytree(source, target, ignore=_IGNORE_NON_CODE)
        else:
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target)
    compileall.compile_dir(folder, quiet=1, stripdir=str(folder), prependdir="/opt/esq/app")


def _source_digests(*names: str) -> list[str]:
    """Return the names and hashes of files, and of all files in folders."""
    paths = sorted(
        path
        for name in names
        for path in ((PROJECT / name).rglob("*") if (PROJECT / name).is_dir() else [PROJECT / name])
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
