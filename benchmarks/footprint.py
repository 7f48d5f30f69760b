"""What a running platform costs: memory (PSS) per part, and processor use while nothing is asked of it.

Every process of a cluster descends from its supervisor: what a node's containers leave behind is adopted by
the node's first process.
PSS counts a page shared by n processes as 1/n in each, so the parts add up to what the machine really
spends (Linux, proc(5), smaps_rollup).
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter
from pathlib import Path

import psutil

from infra.zones.layout import RUNTIME

WATCHED_SECONDS = 30.0
MEBIBYTE = 1 << 20

SERVICE_MODULE = "services."


def part(process: psutil.Process) -> str:
    """Name the part that `process` belongs to, e.g. `kubelet`, `kafka`, `whatsapp.dispatcher`."""
    argv = process.cmdline()
    for word in argv:
        if word.startswith(SERVICE_MODULE):
            return word.removeprefix(SERVICE_MODULE).replace(".entrypoints", "")
        if word.startswith("kafka."):
            return "kafka"
    name = Path(argv[0].split(":")[0]).name if argv and argv[0] else process.name()
    script = next((Path(word).name for word in argv[1:] if word.startswith("/")), "")
    return script or name if name.startswith("python") else name


def measure(pid: int, seconds: float) -> dict[str, object]:
    """Return memory in MiB per part and in all, and the share of one processor used over `seconds`."""
    family = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    memory: Counter[str] = Counter()
    count: Counter[str] = Counter()
    before: dict[int, float] = {}
    names: dict[int, str] = {}
    for process in family:
        try:
            memory[part(process)] += process.memory_full_info().pss
            count[part(process)] += 1
            before[process.pid] = sum(process.cpu_times()[:2])
            names[process.pid] = part(process)
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    time.sleep(seconds)
    used: Counter[str] = Counter()
    for process in family:
        if process.pid in before and process.is_running():
            used[names[process.pid]] += (sum(process.cpu_times()[:2]) - before[process.pid]) / seconds  # type: ignore[assignment]  # Counter holds floats as well
    return {
        "memory_mib": round(sum(memory.values()) / MEBIBYTE),
        "cores_used": round(sum(used.values()), 3),
        "parts": {
            name: {
                "processes": count[name],
                "memory_mib": round(pss / MEBIBYTE, 1),
                "cores": round(used[name], 3),
            }
            for name, pss in memory.most_common()
        },
    }


def main() -> None:
    """Print the figures of the cluster named on the command line as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cluster", nargs="?", default="local")
    parser.add_argument("--seconds", type=float, default=WATCHED_SECONDS)
    chosen = parser.parse_args()
    json.dump(
        measure(int((RUNTIME / chosen.cluster / "supervisor.pid").read_text()), chosen.seconds),
        sys.stdout,
        indent=2,
    )
    sys.stdout.write("\n")


if __name__ == "__main__":
    main()
