"""Seconds to start three nodes until Ready (toolchain built), for an unchanged `up`, and to stop them."""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import platformdirs

from infra.progress import RecordingProgress
from infra.zones import Cluster, ClusterSpec
from infra.zones.toolchain import Toolchain

if TYPE_CHECKING:
    from collections.abc import Callable

ROUNDS = 5


def duration(operation: Callable[[], None]) -> float:
    """Return the seconds that `operation` takes."""
    started_at = time.monotonic()
    operation()
    return round(time.monotonic() - started_at, 2)


def main() -> None:
    """Print minimum, median and maximum of each duration over the rounds as JSON."""
    tools = Toolchain(platformdirs.user_cache_path("esq") / "toolchain", RecordingProgress())
    tools.ensure(("kubernetes", "etcd", "coredns", "local-path-provisioner"))
    spec = ClusterSpec.model_validate({"name": "bench", "subnet": "10.99.0.0/16"})
    durations: dict[str, list[float]] = {"up": [], "up_unchanged": [], "down": []}
    with tempfile.TemporaryDirectory() as folder:
        cluster = Cluster(spec, Path(folder) / "bench", tools)
        for _ in range(ROUNDS):
            try:
                durations["up"].append(duration(lambda: cluster.up(RecordingProgress())))
                durations["up_unchanged"].append(duration(lambda: cluster.up(RecordingProgress())))
            finally:
                durations["down"].append(duration(lambda: cluster.down(RecordingProgress(), purge=True)))
    summary = {
        name: {"min": min(values), "median": statistics.median(values), "max": max(values)}
        for name, values in durations.items()
    }
    json.dump(summary, sys.stdout, indent=2)
    sys.stdout.write("\n")


if __name__ == "__main__":
    main()
