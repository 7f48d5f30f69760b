"""Installing what is missing of Debian's packages, where that is ours to do: on Debian, as root."""

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

INSTALL_SECONDS = 900.0
UPDATE_SECONDS = 300.0
POLICY = Path("/usr/sbin/policy-rc.d")
"""Asked by Debian's packages whether they may start their service."""


def installable() -> bool:
    """Return whether this is a Debian (or one of its children) and we may change it."""
    return os.geteuid() == 0 and shutil.which("apt-get") is not None


def install(packages: Sequence[str], steps: ProgressReporter) -> None:
    """Install `packages`, if there are any and we may; else nothing, for preflight names what is missing.

    Raises:
        CommandFailedError: apt could not install them.
    """
    if not packages or not installable():
        return
    with steps.step("packages") as step:
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        step.set_status("the package lists")
        run(["apt-get", "update", "-q"], timeout=UPDATE_SECONDS, env=environment)
        step.set_status(", ".join(packages))
        argv = ["apt-get", "install", "-q", "-y", "--no-install-recommends", *packages]
        with _nothing_starts():
            run(argv, timeout=INSTALL_SECONDS, env=environment)
        step.set_result(f"installed {', '.join(packages)}")


@contextmanager
def _nothing_starts(policy: Path = POLICY) -> Iterator[None]:
    """Keep Debian from starting what it installs, as we do that ourselves; a policy that is there stays."""
    if policy.exists():
        yield
        return
    policy.write_text("#!/bin/sh\nexit 101\n")
    policy.chmod(0o755)
    try:
        yield
    finally:
        policy.unlink()
