"""Copies the media bucket to the vault, or back: what is missing or different. Nothing is ever deleted."""

from __future__ import annotations

import datetime as dt
import sys
import time
from dataclasses import replace

from infra.components.backup.inside import s3, tools

PREFIX = "media/"
"""In the vault, whose bucket holds other things too."""
_BOTH = {"out": ("media", "", "vault", PREFIX), "back": ("vault", PREFIX, "media", "")}


def copy(source: s3.Store, source_prefix: str, target: s3.Store, target_prefix: str) -> tuple[int, int]:
    """Copy what is missing; return how many objects and bytes.

    Raises:
        OSError: one of the stores does not answer; what was copied stays, and the next run goes on.
    """
    there = {entry.key[len(target_prefix) :]: entry for entry in target.list(target_prefix)}
    objects = size = 0
    for entry in source.list(source_prefix):
        key = entry.key[len(source_prefix) :]
        known = there.get(key)
        if known is not None and _same(known, entry):
            continue
        target.copy(replace(entry, key=target_prefix + key), source, entry.key)
        objects, size = objects + 1, size + entry.size
    return objects, size


def _same(one: s3.Entry, other: s3.Entry) -> bool:
    """Tell whether two objects hold the same; of one uploaded in parts only the size can be compared."""
    parts = "-" in one.etag or "-" in other.etag
    return one.size == other.size and (parts or one.etag == other.etag)


def main(way: str) -> None:
    """Copy `out` to the vault or `back` from it."""
    began, clock = dt.datetime.now(dt.UTC), time.monotonic()
    stores = s3.stores()
    source, source_prefix, target, target_prefix = _BOTH[way]
    try:
        objects, size = copy(stores[source], source_prefix, stores[target], target_prefix)
        told: dict[str, object] = {"good": True, "objects": objects, "bytes": size}
    except OSError as error:
        told = {"good": False, "faults": [str(error)[-1000:]]}
    tools.tell({"began": began, "seconds": round(time.monotonic() - clock, 1), **told})
    sys.exit(0 if told["good"] else 1)


if __name__ == "__main__":
    main(sys.argv[1])
