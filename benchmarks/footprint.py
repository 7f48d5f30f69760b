"""Footprint of a running platform: memory (PSS) by program, and CPU usage while idle.

All processes of a cluster descend from its supervisor: orphans of a node's containers are adopted by the
node's first process. PSS counts a page shared by n processes as 1/n in each, so the sum of all programs is
what the machine uses (Linux, proc(5), smaps_rollup).
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter
from itertools import zip_longest
from pathlib import Path

import psutil

from infra.zones.paths import RUNTIME

DURATION_SECONDS = 30.0
MEBIBYTE = 1 << 20

SERVICE_MODULE = "services."


def program_name(process: psutil.Process) -> str:
    """Return the name of the program that `process` runs, e.g. `kubelet`, `kafka`, `whatsapp.dispatcher`."""
    argv = process.cmdline()
    for argument, next_argument in zip_longest(argv, argv[1:], fillvalue=""):
        if argument.startswith(SERVICE_MODULE):
            module = argument.removeprefix(SERVICE_MODULE)
            return f"{module}.{next_argument}" if next_argument else module
        if argument.startswith("kafka."):
            return "kafka"
    name = Path(argv[0].split(":")[0]).name if argv and argv[0] else process.name()
    script = next((Path(argument).name for argument in argv[1:] if argument.startswith("/")), "")
    return script or name if name.startswith("python") else name


def measure(pid: int, seconds: float) -> dict[str, object]:
    """Measure all processes of a cluster.

    Args:
        pid: process id of the supervisor.
        seconds: length of the CPU measurement.

    Returns:
        Memory in MiB in total and by program, and the average number of CPU cores used.
    """
    processes = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    memory: Counter[str] = Counter()
    count: Counter[str] = Counter()
    cpu_before: dict[int, float] = {}
    names: dict[int, str] = {}
    for process in processes:
        try:
            memory[program_name(process)] += process.memory_full_info().pss
            count[program_name(process)] += 1
            cpu_before[process.pid] = sum(process.cpu_times()[:2])
            names[process.pid] = program_name(process)
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    time.sleep(seconds)
    cores: dict[str, float] = dict.fromkeys(memory, 0.0)
    for process in processes:
        if process.pid in cpu_before and process.is_running():
            cpu_seconds = sum(process.cpu_times()[:2]) - cpu_before[process.pid]
            cores[names[process.pid]] += cpu_seconds / seconds
    return {
        "memory_mib": round(sum(memory.values()) / MEBIBYTE),
        "cores_used": round(sum(cores.values()), 3),
        "programs": {
            name: {
                "processes": count[name],
                "memory_mib": round(pss / MEBIBYTE, 1),
                "cores": round(cores[name], 3),
            }
            for name, pss in memory.most_common()
        },
    }


def main() -> None:
    """Print the footprint of the cluster on the command line as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cluster", nargs="?", default="local")
    parser.add_argument("--seconds", type=float, default=DURATION_SECONDS)
    args = parser.parse_args()
    pid = int((RUNTIME / args.cluster / "supervisor.pid").read_text())
    json.dump(measure(pid, args.seconds), sys.stdout, indent=2)
    sys.stdout.write("\n")


if __name__ == "__main__":
    main()
