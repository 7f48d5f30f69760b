"""Installation of missing Debian packages, where esq may do so: on Debian, as root."""

from __future__ import annotations

import os
import shutil
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from infra.subprocesses import run

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from infra.progress import ProgressReporter

INSTALL_TIMEOUT_SECONDS = 900.0
UPDATE_TIMEOUT_SECONDS = 300.0
POLICY_FILE = Path("/usr/sbin/policy-rc.d")
"""Debian packages run this program to learn whether they may start their service."""


def can_install() -> bool:
    """Return whether this is Debian (or a derivative) and the user may install packages."""
    return os.geteuid() == 0 and shutil.which("apt-get") is not None


def install(packages: Sequence[str], progress: ProgressReporter) -> None:
    """Install Debian packages where that is possible; preflight reports missing ones.

    Args:
        packages: names of the packages; may be empty.
        progress: reports the installation.

    Raises:
        CommandFailedError: apt failed.
    """
    if not packages or not can_install():
        return
    with progress.step("packages") as step:
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        step.set_status("package lists")
        run(["apt-get", "update", "-q"], timeout=UPDATE_TIMEOUT_SECONDS, env=environment)
        step.set_status(", ".join(packages))
        argv = ["apt-get", "install", "-q", "-y", "--no-install-recommends", *packages]
        with _services_not_started():
            run(argv, timeout=INSTALL_TIMEOUT_SECONDS, env=environment)
        step.set_result(f"installed {', '.join(packages)}")


@contextmanager
def _services_not_started(policy: Path = POLICY_FILE) -> Iterator[None]:
    """Prevent packages from starting their services, as esq does that; an existing policy is kept."""
    if policy.exists():
        yield
        return
    policy.write_text("#!/bin/sh\nexit 101\n")
    policy.chmod(0o755)
    try:
        yield
    finally:
        policy.unlink()
