"""Seconds from nothing to three nodes Ready, toolchain built; for an unchanged `up`; and down again."""

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


def seconds(work: Callable[[], None]) -> float:
    """Return how long `work` takes."""
    begun = time.monotonic()
    work()
    return round(time.monotonic() - begun, 2)


def main() -> None:
    """Print minimum, median and maximum of each figure over the rounds as JSON."""
    tools = Toolchain(platformdirs.user_cache_path("esq") / "toolchain", RecordingProgress())
    tools.ensure(("kubernetes", "etcd", "coredns", "local-path-provisioner"))
    spec = ClusterSpec.model_validate({"name": "bench", "subnet": "10.99.0.0/16"})
    figures: dict[str, list[float]] = {"up": [], "up_unchanged": [], "down": []}
    with tempfile.TemporaryDirectory() as folder:
        cluster = Cluster(spec, Path(folder) / "bench", tools)
        for _ in range(ROUNDS):
            try:
                figures["up"].append(seconds(lambda: cluster.up(RecordingProgress())))
                figures["up_unchanged"].append(seconds(lambda: cluster.up(RecordingProgress())))
            finally:
                figures["down"].append(seconds(lambda: cluster.down(RecordingProgress(), purge=True)))
    summary = {
        name: {"min": min(each), "median": statistics.median(each), "max": max(each)}
        for name, each in figures.items()
    }
    json.dump(summary, sys.stdout, indent=2)
    sys.stdout.write("\n")


if __name__ == "__main__":
    main()
