"""Copies missing or changed media objects to the off-site store, or back. Nothing is ever deleted."""

from __future__ import annotations

import datetime as dt
import sys
import time
from dataclasses import replace

from infra.components.backup.pod_programs import commands, s3

PREFIX = "media/"
"""Prefix in the off-site store, whose bucket also holds other objects."""
_DIRECTIONS = {
    "export": ("media", "", "offsite-store", PREFIX),
    "restore": ("offsite-store", PREFIX, "media", ""),
}
"""Source bucket, its prefix, target bucket, its prefix."""


def copy(source: s3.S3Bucket, source_prefix: str, target: s3.S3Bucket, target_prefix: str) -> tuple[int, int]:
    """Copy missing objects.

    Args:
        source: bucket to read.
        source_prefix: prefix of the objects in it; removed from the keys.
        target: bucket to write.
        target_prefix: prefix of the objects in it; added to the keys.

    Returns:
        The number of copied objects and of their bytes.

    Raises:
        OSError: a store is unavailable; copied objects stay, and the next run continues.
    """
    existing = {entry.key[len(target_prefix) :]: entry for entry in target.list(target_prefix)}
    objects = size = 0
    for entry in source.list(source_prefix):
        key = entry.key[len(source_prefix) :]
        copied = existing.get(key)
        if copied is not None and _is_unchanged(copied, entry):
            continue
        target.copy(replace(entry, key=target_prefix + key), source, entry.key)
        objects, size = objects + 1, size + entry.size
    return objects, size


def _is_unchanged(copied: s3.ObjectEntry, entry: s3.ObjectEntry) -> bool:
    """Return whether two objects have the same content; of multipart uploads only the size is comparable."""
    multipart = "-" in copied.etag or "-" in entry.etag
    return copied.size == entry.size and (multipart or copied.etag == entry.etag)


def main(direction: str) -> None:
    """Copy the media bucket: `export` to the off-site store or `restore` from it."""
    started_at, started = dt.datetime.now(dt.UTC), time.monotonic()
    buckets = s3.load_buckets()
    source, source_prefix, target, target_prefix = _DIRECTIONS[direction]
    try:
        objects, size = copy(buckets[source], source_prefix, buckets[target], target_prefix)
        result: dict[str, object] = {"succeeded": True, "objects": objects, "bytes": size}
    except OSError as error:
        result = {"succeeded": False, "problems": [str(error)[-1000:]]}
    commands.write_result(
        {"started_at": started_at, "seconds": round(time.monotonic() - started, 1), **result}
    )
    sys.exit(0 if result["succeeded"] else 1)


if __name__ == "__main__":
    main(sys.argv[1])
