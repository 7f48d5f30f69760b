"""A whole platform, driven through the `esq` command line."""

from __future__ import annotations

import json
import os
import re
import signal
import ssl
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import httpx
import platformdirs
import psutil

from infra.progress import RecordingProgress
from infra.subprocesses import run
from infra.zones import Cluster, ClusterSpec
from infra.zones.toolchain import Toolchain

if TYPE_CHECKING:
    from collections.abc import Iterator

DEPLOY_TIMEOUT_SECONDS = 900.0
COMMAND_TIMEOUT_SECONDS = 300.0


@dataclass
class Platform:
    """A `local` environment that can coexist with others on the host.

    Attributes:
        state: folder used as the user's state folder.
        cluster: name of its cluster.
        subnet: addresses of its cluster.
    """

    state: Path
    cluster: str
    subnet: str

    def esq(self, *args: str, expect: int | None = 0, timeout: float = COMMAND_TIMEOUT_SECONDS) -> str:
        """Run `esq` and return its standard output.

        Args:
            args: of the command.
            expect: exit code, another one fails the test; None for any.
            timeout: seconds.
        """
        done = subprocess.run(
            [sys.executable, "-m", "cli.main", *args],
            env=self._environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        if expect is not None:
            assert done.returncode == expect, (
                f"esq {' '.join(args)} exited with {done.returncode}\n{done.stdout}\n{done.stderr}"
            )
        return done.stdout

    def report(self, *args: str, expect: int = 0, timeout: float = COMMAND_TIMEOUT_SECONDS) -> Any:
        """Run `esq ARGS --json` and return the parsed output.

        Args:
            args: of the command.
            expect: exit code.
            timeout: seconds.
        """
        return json.loads(self.esq(*args, "--json", expect=expect, timeout=timeout))

    def status(self) -> dict[str, Any]:
        """Return the output of `esq status local`, whatever its exit code."""
        return dict(json.loads(self.esq("status", "local", "--json", expect=None) or "{}"))

    def open_cluster(self) -> Cluster:
        """Return the cluster, for the injection of faults."""
        spec = ClusterSpec.model_validate({"name": self.cluster, "subnet": self.subnet})
        return Cluster(spec, self.state / "esq" / "clusters" / self.cluster, self.tools())

    def kubectl(self, *args: str) -> str:
        """Run kubectl as the administrator of the cluster."""
        return run(
            [str(self.tools().path("kubectl")), f"--kubeconfig={self.open_cluster().kubeconfig}", *args]
        )

    def pod_logs(self, namespace: str, selector: str) -> str:
        """Return the logs of pods within the last ten minutes, for the diagnosis of a failure.

        Args:
            namespace: of the pods.
            selector: label selector.
        """
        return self.kubectl(
            *(f"--namespace={namespace}", "logs", f"--selector={selector}"),
            *("--prefix", "--since=10m", "--tail=-1", "--all-containers", "--ignore-errors"),
        )

    def leaked_resources(self) -> list[str]:
        """Return a description of each resource that remains after the removal of the cluster."""
        mark = f"esq-{self.cluster}"
        leaked = [f"interface {line}" for line in run(["ip", "-o", "link"]).splitlines() if mark in line]
        leaked += [f"namespace {line}" for line in run(["ip", "netns"]).splitlines() if mark in line]
        leaked += [f"group {path}" for path in Path("/sys/fs/cgroup").glob(f"*/{mark}-*")]
        leaked += [f"mount {line}" for line in Path("/proc/mounts").read_text().splitlines() if mark in line]
        state = str(self.state / "esq" / "clusters")
        loops = run(["losetup", "--list", "--noheadings", "--output=NAME,BACK-FILE"]).splitlines()
        leaked += [f"loop device {line}" for line in loops if state in line]
        leaked += [f"table {line}" for line in run(["nft", "list", "tables"]).splitlines() if mark in line]
        for process in psutil.process_iter(["cmdline"]):
            command = " ".join(process.info["cmdline"] or [])
            leaked += [f"process {process.pid} {command[:100]}"] if state in command else []
        return leaked

    def save_figures(self, name: str, figures: dict[str, Any]) -> None:
        """Write figures to the platform's state folder and to the output of the test.

        Args:
            name: of the file.
            figures: to write.
        """
        (self.state / f"{name}.json").write_text(json.dumps(figures, indent=2))
        sys.stdout.write(f"{name}: {json.dumps(figures)}\n")

    def tools(self) -> Toolchain:
        """Return the toolchain."""
        return Toolchain(platformdirs.user_cache_path("esq") / "toolchain", RecordingProgress())

    def start(self, *args: str) -> subprocess.Popen[str]:
        """Start `esq ARGS --json` and return immediately."""
        return subprocess.Popen(
            [sys.executable, "-m", "cli.main", *args, "--json"],
            env=self._environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def remove(self) -> None:
        """Remove the cluster with all of its data; a missing cluster is ignored."""
        self.esq("cluster", "down", "--name", self.cluster, "--purge", "--yes", expect=None)

    def processes(self, program: str) -> Iterator[int]:
        """Yield the PIDs on the host of `python3 -m PROGRAM` in the pods of this cluster."""
        for folder in Path("/proc").iterdir():
            if not folder.name.isdigit():
                continue
            try:
                argv = (folder / "cmdline").read_text().split("\0")
                groups = (folder / "cgroup").read_text()
            except OSError:
                continue
            if f"-m {program} " in " ".join(argv) and re.search(rf"/[^/]*{self.cluster}[^/]*/", groups):
                yield int(folder.name)

    def kill(self, program: str, deadline: float = 60.0) -> int:
        """SIGKILL a process of `python3 -m PROGRAM`, waiting until there is one; return its process id."""
        end = time.monotonic() + deadline
        while time.monotonic() < end:
            for pid in self.processes(program):
                os.kill(pid, signal.SIGKILL)
                return pid
            time.sleep(0.2)
        raise AssertionError(f"no process of {program} within {deadline:g} s")

    def _environment(self) -> dict[str, str]:
        return {
            **os.environ,
            "XDG_STATE_HOME": str(self.state),
            "ESQ_LOCAL_CLUSTER": self.cluster,
            "ESQ_LOCAL_SUBNET": self.subnet,
        }


@dataclass
class EdgePoller:
    """Polls a URL of the edge and records when a service responded.

    Attributes:
        url: to poll.
        ca: certificate authority of the edge.
        period: seconds between two requests.
    """

    url: str
    ca: Path
    period: float = 0.2
    answered: list[float] = field(default_factory=list)
    failed: int = 0

    def __enter__(self) -> Self:
        """Start polling."""
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._poll, name="watcher", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop polling."""
        self._stop.set()
        self._thread.join(timeout=10)

    @property
    def longest_gap(self) -> float:
        """Longest time without a response (seconds)."""
        return max(
            (b - a for a, b in zip(self.answered, self.answered[1:], strict=False)), default=float("inf")
        )

    def _poll(self) -> None:
        with httpx.Client(verify=ssl.create_default_context(cafile=str(self.ca)), timeout=2.0) as client:
            while not self._stop.wait(self.period):
                try:
                    response = client.get(self.url)
                except httpx.HTTPError:
                    self.failed += 1
                    continue
                if response.status_code < httpx.codes.INTERNAL_SERVER_ERROR:
                    self.answered.append(time.monotonic())
                else:
                    self.failed += 1
