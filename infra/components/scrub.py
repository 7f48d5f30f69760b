"""Scrubbing: every replica reads all of its data and verifies the checksums, which finds damage on a disk.

A damaged block of a replica is not noticed until it is read, which may be after the other replicas are lost.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Damage(BaseModel):
    """Damaged data of one replica.

    Attributes:
        pod: pod of the replica.
        location: the damaged file and the place in it, as the store names it.
        repaired: whether the store has replaced the data from another replica by itself.
    """

    model_config = ConfigDict(frozen=True)

    pod: str
    location: str
    repaired: bool = False

    def __str__(self) -> str:
        return f"{self.pod}: {self.location}"
