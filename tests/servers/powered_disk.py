"""An ext4 disk in a file, as a node has one, whose power a test can cut."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from chaos.faults import power_loss
from infra.subprocesses import run
from infra.zones import disks
from tests.servers.process import wait_until

if TYPE_CHECKING:
    from typing import Self

MOUNT_POINT = "/mnt"
"""Inside the disk's own mount namespace."""
SIZE_BYTES = 2 << 30
TIMEOUT_SECONDS = 30.0


class PoweredDisk:
    """Context manager: a disk that is mounted for the programs that are started on it.

    A process holds the mount namespace. It ends with its standard input, so that no mount and no loop device
    outlives the test, however that ends.

    Args:
        folder: folder of the disk's file.

    Attributes:
        image: the disk's file.
    """

    def __init__(self, folder: Path) -> None:
        self.image = folder / "disk.img"
        self._holder: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        disks.create(self.image, SIZE_BYTES)
        self.power_on()
        return self

    def __exit__(self, *_: object) -> None:
        self.power_off()
        self.image.unlink()

    @property
    def root(self) -> Path:
        """The disk's root folder, as this process sees it."""
        return Path(f"/proc/{self._pid}/root{MOUNT_POINT}")

    def command(self, *argv: str, uid: int | None = None) -> list[str]:
        """Return a command that runs with the disk at `MOUNT_POINT`.

        Args:
            argv: program and arguments.
            uid: uid and gid; those of this process if None.
        """
        user = [] if uid is None else [f"--setuid={uid}", f"--setgid={uid}"]
        return ["nsenter", f"--mount=/proc/{self._pid}/ns/mnt", *user, "--", *argv]

    def power_on(self) -> None:
        """Mount the disk; its journal repairs it after a power cut."""
        lines = ["set -eu", *disks.mount_lines(self.image, MOUNT_POINT), "echo mounted", "exec cat"]
        self._holder = subprocess.Popen(
            ["unshare", "--mount", "--propagation", "private", "sh", "-c", "\n".join(lines)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._holder.stdout is not None
        assert self._holder.stdout.readline() == "mounted\n"

    def commit_journal(self) -> None:
        """Sync a file of somebody else, as other programs on a disk do all the time.

        The journal then holds the new lengths of all files, also of those whose data is not written: after a cut
        they end with zeros.
        """
        with (self.root / "other").open("w") as file:
            file.write("synced")
            file.flush()
            os.fsync(file.fileno())

    def cut_power(self) -> None:
        """Drop everything that was not synced; programs on the disk get errors until they are killed."""
        run(power_loss.cut_command([self.image]))

    def power_off(self) -> None:
        """Unmount the disk; all programs on it must have ended."""
        if self._holder is not None:
            self._holder.communicate(timeout=TIMEOUT_SECONDS)
            self._holder = None
        wait_until("the disk to detach", lambda: not run(["losetup", "-j", str(self.image)]), TIMEOUT_SECONDS)

    @property
    def _pid(self) -> int:
        assert self._holder is not None
        return self._holder.pid
