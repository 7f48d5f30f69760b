"""What a delayed wire carries: Mbit/s of a TCP connection, small packets per second, and the delay's error.

Everything runs in network and mount namespaces of its own; no cluster is needed.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from chaos.faults import network as faults
from infra.shell import run
from infra.zones import ClusterSpec, network
from infra.zones.layout import Layout

DELAYS = (1.0, 5.0, 20.0, 100.0)
PINGS = 50
BULK_MEBIBYTES = 64
DATAGRAMS = 60_000
PORT = 7007
_OWN = "ESQ_OWN_NAMESPACES"
SPEC = ClusterSpec.model_validate({"name": "delay", "subnet": "10.94.0.0/16"})
_COUNT = f"""\
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.setsockopt(socket.SOL_SOCKET, 33, 8 << 20)
s.bind(("", {PORT})); s.settimeout(2); n = 0
print(flush=True)
try:
    while True:
        s.recv(100); n += 1
except TimeoutError:
    print(n)
"""
_SPRAY = """\
import socket, sys, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
begun, rate = time.monotonic(), float(sys.argv[3])
for n in range(int(sys.argv[2])):
    s.sendto(b"x" * 64, (sys.argv[1], 7007))
    if n % 50 == 0:
        time.sleep(max(0.0, begun + n / rate - time.monotonic()))
"""


def inside(zone: str) -> list[str]:
    """Return how a command is begun in a zone's network."""
    return ["nsenter", f"--net=/run/netns/{SPEC.namespace(zone)}"]


def round_trips() -> list[float]:
    """Return milliseconds of pings between two zones."""
    text = run([*inside("zone-a"), "busybox", "ping", "-A", "-c", str(PINGS), str(SPEC.node("zone-b"))])
    return [float(line.split("time=")[1].split()[0]) for line in text.splitlines() if "time=" in line]


def megabits() -> float:
    """Return what one TCP connection carries."""
    receive = [*inside("zone-b"), "busybox", "nc", "-l", "-p", str(PORT)]
    send = f"head -c {BULK_MEBIBYTES}M /dev/zero | busybox nc {SPEC.node('zone-b')} {PORT}"
    # Its input stays open: at its end it would end the connection.
    with subprocess.Popen(receive, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as receiver:
        time.sleep(0.2)
        begun = time.monotonic()
        with subprocess.Popen([*inside("zone-a"), "sh", "-c", send]):
            assert receiver.stdout is not None  # noqa: S101 - it was asked for
            size = sum(len(piece) for piece in iter(lambda: receiver.stdout.read(1 << 16), b""))
        return size * 8 / 1e6 / (time.monotonic() - begun)


def arrived(rate: int) -> float:
    """Return the share of small packets that arrive when `rate` are sent per second."""
    with subprocess.Popen(
        [*inside("zone-b"), sys.executable, "-c", _COUNT], stdout=subprocess.PIPE, text=True
    ) as counter:
        assert counter.stdout is not None  # noqa: S101 - it was asked for
        counter.stdout.readline()
        count = min(DATAGRAMS, rate * 3)
        spray = [sys.executable, "-c", _SPRAY, str(SPEC.node("zone-b")), str(count), str(rate)]
        run([*inside("zone-a"), *spray])
        return int(counter.stdout.readline()) / count


def measure(layout: Layout) -> dict[str, object]:
    """Return all figures."""
    network.create(SPEC)
    found: dict[str, object] = {
        "undelayed": {"round_trip_ms": statistics.median(round_trips()), "megabits": round(megabits())}
    }
    for delay in DELAYS:
        fault = faults.latency(SPEC, layout, "zone-a", delay)
        for command in fault.inject:
            run(command)
        trips = round_trips()
        found[f"{delay:g} ms"] = {
            "error_ms_median": round(statistics.median(trips) / 2 - delay, 3),
            "error_ms_99th": round(statistics.quantiles(trips, n=100)[98] / 2 - delay, 3),
            "megabits": round(megabits()),
            "arrived": {rate: round(arrived(rate), 3) for rate in (5_000, 10_000, 20_000, 40_000)},
        }
        for command in fault.undo:
            run(command)
    return found


def main() -> None:
    """Print the figures as JSON."""
    if _OWN not in os.environ:
        prepare = 'mount -t tmpfs tmpfs /run && mount -t sysfs sysfs /sys && ip link set lo up && exec "$@"'
        words = ["unshare", "--net", "--mount", "sh", "-c", prepare, "sh", sys.executable, __file__]
        os.execvpe(words[0], words, {**os.environ, _OWN: "1"})  # noqa: S606 - a shell is what it starts
    with tempfile.TemporaryDirectory() as folder:
        layout = Layout(Path(folder), SPEC.name)
        layout.run.mkdir(parents=True)
        json.dump(measure(layout), sys.stdout, indent=2)
    sys.stdout.write("\n")


if __name__ == "__main__":
    main()
