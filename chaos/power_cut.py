"""Cuts the power of disks: everything that was not synced is lost, and every later access fails.

    power_cut.py MOUNT_POINT ...

SIGKILL is no power loss: the kernel keeps the dead process's pages and writes them. ext4's shutdown call,
which the file system tests of Linux use, drops them. What a program had synced is on the disk; the file
system's journal restores it at the next mount. Writes that reached the device are kept, as by a device
without a volatile cache.

The file systems are opened before the first one is shut down, so that all of them stop within microseconds.
Only the standard library is imported, so that the program starts fast and as root.
"""

from __future__ import annotations

import fcntl
import os
import struct
import sys

_SHUTDOWN = 0x8004587D
"""FS_IOC_SHUTDOWN of linux/fs.h."""
_WITHOUT_LOG_FLUSH = 2
"""Not even the journal of the file system is written."""


def cut_power(mount_points: list[str]) -> None:
    """Shut down the ext4 file systems at these mount points."""
    descriptors = [os.open(path, os.O_RDONLY) for path in mount_points]
    for descriptor in descriptors:
        fcntl.ioctl(descriptor, _SHUTDOWN, struct.pack("I", _WITHOUT_LOG_FLUSH))


if __name__ == "__main__":
    cut_power(sys.argv[1:])
