"""Setup for all tests: hypothesis, gRPC, the tools of the toolchain on PATH, groups of pytest-xdist."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import platformdirs
import pytest
from hypothesis import HealthCheck, settings

from infra.progress import RecordingProgress
from infra.zones.toolchain import Toolchain

# The time to draw an example depends on the machine, not on the code.
settings.register_profile("esq", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("esq")

# Servers run as another user, which requires a real fork. gRPC would restart its threads in the child, where one
# of them may find its poller closed and abort the program before it starts (5 of 1,500 did). No test uses gRPC
# in a forked child.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")

# Programs of the project that tests start find its packages, whatever the working directory.
os.environ.setdefault("PYTHONPATH", str(Path(__file__).resolve().parents[1]))

# A shell without job control starts programs in the background with SIGINT ignored, and `nohup` does so with
# SIGHUP. Tests interrupt themselves, and a shell cannot catch what it was started without.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)

_TOOLS_ON_PATH = "ESQ_TEST_TOOLS_ON_PATH"
"""Set for child processes (pytest-xdist workers), which inherit PATH."""


def _add_tools_to_path() -> None:
    """Prepend the folders of the built tools to PATH, where tests find the servers that they start.

    Nothing is built: `./esq test` does that, or `./esq toolchain build`.
    """
    toolchain = Toolchain(platformdirs.user_cache_path("esq") / "toolchain", RecordingProgress())
    folders = [Path(tool.path) / "bin" for tool in toolchain.list() if tool.origin == "cache"]
    existing = [str(folder) for folder in folders if folder.is_dir()]
    os.environ["PATH"] = os.pathsep.join([*existing, os.environ["PATH"]])
    os.environ[_TOOLS_ON_PATH] = "1"


if _TOOLS_ON_PATH not in os.environ:
    _add_tools_to_path()


@pytest.fixture(autouse=True)
def _without_esq_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove the `ESQ_...` variables of the caller, except those that tests read."""
    for name in os.environ:
        if name.startswith("ESQ_") and not name.startswith(
            ("ESQ_TEST_", "ESQ_KAFKA_LIBS", "ESQ_POSTGRES_BIN")
        ):
            monkeypatch.delenv(name)


_TESTS = Path(__file__).resolve().parent
_CLUSTER_SUITES = ("cluster", "e2e")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Group tests with servers by folder: with `--dist loadgroup` the tests of a group share one worker.

    All tests that start clusters are one group.
    """
    for item in items:
        suite, folder, *_ = item.path.relative_to(_TESTS).parts
        if suite != "unit":
            group = "cluster" if suite in _CLUSTER_SUITES else f"{suite}-{folder}"
            item.add_marker(pytest.mark.xdist_group(group))
