"""One flipped bit in a data file of one replica: the silent damage that disks and memory do.

The file is changed through a second mount of the node's disk, so that the kernel has one page cache for both:
the store reads the damage as soon as it reads that place from the file system.
"""

from __future__ import annotations

import shlex
import sys
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

from chaos import bit_flipper
from chaos.faults.fault import Command, Fault
from chaos.faults.resource_exhaustion import on_disk

if TYPE_CHECKING:
    from collections.abc import Sequence

    from infra.zones.paths import ClusterPaths


class BitLocation(BaseModel):
    """The bit to flip.

    Attributes:
        file: path of the file, with the disk of its node at /mnt.
        offset: byte of the bit.
        digest: digest of the bytes around it.
    """

    model_config = ConfigDict(frozen=True)

    file: str
    offset: int
    digest: str

    def __str__(self) -> str:
        _, _, file = self.file.removeprefix("/mnt/").partition("/")
        return f"{file}, byte {self.offset}"

    @classmethod
    def parse(cls, output: str) -> BitLocation:
        """Return the place from the output of `locate_command`."""
        file, offset, digest = output.splitlines()[-3:]
        return cls(file=file, offset=int(offset), digest=digest)


def locate_command(paths: ClusterPaths, zone: str, patterns: Sequence[str]) -> Command:
    """Return the command that prints the place to damage; it changes nothing.

    Args:
        paths: files of the cluster.
        zone: zone of the node.
        patterns: patterns of candidate files, relative to the node's disk.
    """
    return on_disk(
        paths, zone, _line("locate", *(f"/mnt/{pattern}" for pattern in patterns)), missing_status=1
    )


def bit_flip(paths: ClusterPaths, zone: str, pod: str, bit_location: BitLocation) -> Fault:
    """Flip one bit of a data file.

    Args:
        paths: files of the cluster.
        zone: zone of the node whose disk holds the file.
        pod: pod of the replica, for messages.
        bit_location: the bit.

    Returns:
        The fault; its undo flips the bit back, unless the store has replaced or written the data.
    """
    arguments = (bit_location.file, str(bit_location.offset), bit_location.digest)
    return Fault(
        kind="bit-flip",
        target=f"{pod} ({bit_location})",
        inject=(on_disk(paths, zone, _line("flip", *arguments), missing_status=1),),
        undo=(on_disk(paths, zone, _line("restore", *arguments), missing_status=0),),
    )


def _line(*arguments: str) -> str:
    return shlex.join([sys.executable, "-I", "-S", bit_flipper.__file__, *arguments])
