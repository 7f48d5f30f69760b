"""Installation of missing Debian packages, where esq may do so: on Debian, as root."""

from __future__ import annotations

import os
import shutil
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from infra.errors import Problem, ProblemsError
from infra.files import write_atomically
from infra.subprocesses import run

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from infra.progress import ProgressReporter

INSTALL_TIMEOUT_SECONDS = 900.0
UPDATE_TIMEOUT_SECONDS = 300.0
_SIMULATION_TIMEOUT_SECONDS = 60.0
POLICY_FILE = Path("/usr/sbin/policy-rc.d")
"""Debian packages run this program to learn whether they may start their service."""
_POLICY_VARIABLE = "ESQ_INSTALLS_PACKAGES"
_POLICY = f"""\
#!/bin/sh
# Written by esq for its own installations; has no effect on others, and can be deleted.
[ -z "${_POLICY_VARIABLE}" ] || exit 101
"""
"""Denies services to installations of esq only: a file that a killed esq leaves is harmless."""


def can_install() -> bool:
    """Return whether this is Debian (or a derivative) and the user may install packages."""
    return os.geteuid() == 0 and shutil.which("apt-get") is not None


def install(packages: Sequence[str], progress: ProgressReporter) -> None:
    """Install Debian packages where that is possible; preflight reports missing ones.

    Args:
        packages: names of the packages; may be empty.
        progress: reports the installation.

    Raises:
        ProblemsError: an installed package would be removed; nothing was installed.
        CommandFailedError: apt failed.
    """
    if not packages or not can_install():
        return
    with progress.step("packages") as step:
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", _POLICY_VARIABLE: "1"}
        step.set_status("package lists")
        run(["apt-get", "update", "-q"], timeout=UPDATE_TIMEOUT_SECONDS, env=environment)
        step.set_status(", ".join(packages))
        conflict = conflict_problem(packages)
        if conflict is not None:
            raise ProblemsError("required packages conflict with installed ones", [conflict])
        argv = ["apt-get", "install", "-q", "-y", "--no-remove", "--no-install-recommends", *packages]
        with _services_not_started():
            run(argv, timeout=INSTALL_TIMEOUT_SECONDS, env=environment)
        step.set_result(f"installed {', '.join(packages)}")


def conflict_problem(packages: Sequence[str]) -> Problem | None:
    """Return a problem if the installation of packages would remove others, e.g. Docker's containerd.io.

    Args:
        packages: names of the packages.
    """
    argv = ["apt-get", "--simulate", "install", "--no-install-recommends", *packages]
    lines = run(argv, timeout=_SIMULATION_TIMEOUT_SECONDS, check=False).splitlines()
    removed = [line.split()[1] for line in lines if line.startswith("Remv ")]
    if not removed:
        return None
    return Problem(
        f"the installation of {', '.join(packages)} would remove {', '.join(removed)}",
        "Debian packages",
        f"Use a machine without them, or remove them yourself: apt-get remove {' '.join(removed)}. "
        "Docker from Debian (docker.io) has no conflict.",
    )


@contextmanager
def _services_not_started(policy: Path = POLICY_FILE) -> Iterator[None]:
    """Prevent packages from starting their services, as esq does that; a policy of others is kept."""
    if policy.exists() and policy.read_text(errors="replace") != _POLICY:
        yield
        return
    write_atomically(policy, _POLICY, 0o755)
    try:
        yield
    finally:
        policy.unlink(missing_ok=True)
