"""The process of the Kubernetes provider, which the engine attaches to instead of starting its own.

It has the settings that `esq` needs, and it ends when `esq` ends, however that happens: a shell beside it
waits for the end of a pipe, which the kernel closes.
"""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import threading
from typing import TYPE_CHECKING

from infra.errors import EsqError

if TYPE_CHECKING:
    from pathlib import Path

PROGRAM = "pulumi-resource-kubernetes"

_END_WITH_INPUT = """
exec 3<&0
"$0" < /dev/null 3<&- &
provider=$!
{ read -r _ <&3; kill -KILL "$provider"; } > /dev/null 2>&1 &
watcher=$!
exec 3<&-
wait "$provider"
kill -KILL "$watcher"
"""
"""Runs a program until it or standard input ends, whichever is first; then nothing of it is left.

The provider does not watch its input, and Linux binds the parent-death signal to a thread of the parent.
`read` is a part of the shell: the watcher has no child that outlives it.
"""

_START_TIMEOUT_SECONDS = 30.0
_MAX_DETAIL_LENGTH = 2_000

_VARIABLES = {
    # A manual change (`kubectl scale`) is drift: the next deploy overwrites it instead of failing.
    "PULUMI_K8S_ENABLE_PATCH_FORCE": "true",
    # By default a changed Secret is deleted and created again, and pods that start meanwhile fail. Pods carry
    # a digest of what they read, so that a change restarts them.
    "PULUMI_K8S_ENABLE_SECRET_MUTABLE": "true",
    "PULUMI_K8S_ENABLE_CONFIGMAP_MUTABLE": "true",
    # Its own limits (50 requests a second after a burst of 120) make a layer of 200 objects wait.
    "PULUMI_K8S_CLIENT_QPS": "1000",
    "PULUMI_K8S_CLIENT_BURST": "1000",
}


class ProviderProcess:
    """A provider that serves both phases of a run, refresh and update; started when it is first needed.

    It has one configuration: programs must not declare a second `kubernetes.Provider`.

    Args:
        program: path of the provider.
        kubeconfig: kubeconfig of the cluster that it manages.
    """

    def __init__(self, program: Path, kubeconfig: Path) -> None:
        self._program = program
        self._kubeconfig = kubeconfig
        self._current: _Process | None = None
        self._next: _Process | None = None
        self._expected_runs = 0

    def expect_runs(self, count: int) -> None:
        """Start the provider of each of the next runs before its run: beside the one before it.

        Args:
            count: number of runs that follow.
        """
        self._expected_runs = count
        self._start_next()

    @property
    def attachment(self) -> str:
        """Value of PULUMI_DEBUG_PROVIDERS, `kubernetes:PORT`; a provider that has ended is started again.

        Raises:
            EsqError: it does not start, or prints no port in time.
        """
        if self._current is None or self._current.has_ended():
            self.close()
            starting = self._next if self._next and not self._next.has_ended() else self._start()
            self._next, self._expected_runs = None, self._expected_runs - 1
            starting.wait_for_port()
            self._current = starting
            self._start_next()
        return f"kubernetes:{self._current.port}"

    def close(self) -> None:
        """End the provider. The engine cancels it at the end of a run; then it refuses further work."""
        if self._current is not None:
            self._current.end()
            self._current = None

    def _start_next(self) -> None:
        if self._next is None and self._expected_runs > 0:
            self._next = self._start()

    def _start(self) -> _Process:
        return _Process(self._program, {**os.environ, **_VARIABLES, "KUBECONFIG": str(self._kubeconfig)})


class _Process:
    """A process of the provider.

    Args:
        program: path of the provider.
        variables: its environment variables.
    """

    def __init__(self, program: Path, variables: dict[str, str]) -> None:
        self._program = program
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the process
        self._process = subprocess.Popen(
            ["sh", "-c", _END_WITH_INPUT, str(program)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            env=variables,
            # Ctrl-C is for the engine, which then cancels the operations of the provider.
            start_new_session=True,
            text=True,
        )
        self.port = ""

    def has_ended(self) -> bool:
        """Return whether the process has ended."""
        return self._process.poll() is not None

    def end(self) -> None:
        """End the process and wait for its end."""
        self._process.communicate()
        self._errors.close()

    def wait_for_port(self) -> None:
        """Wait until the provider prints its port.

        Raises:
            EsqError: it ended, or printed none in time; it does not run any more.
        """
        timed_out = threading.Event()

        def kill() -> None:
            timed_out.set()
            os.killpg(self._process.pid, signal.SIGKILL)

        timer = threading.Timer(_START_TIMEOUT_SECONDS, kill)
        timer.start()
        try:
            self.port = (self._process.stdout.readline() if self._process.stdout else "").strip()
        finally:
            timer.cancel()
        if self.port:
            return
        self._process.communicate()
        self._errors.seek(0)
        detail = self._errors.read().decode(errors="replace").strip()[-_MAX_DETAIL_LENGTH:]
        self._errors.close()
        waited = f"it printed no port within {_START_TIMEOUT_SECONDS:g} s"
        raise EsqError(
            f"the Kubernetes provider does not start: {waited if timed_out.is_set() else 'it ended'}",
            location=str(self._program),
            remedy="Run it by hand: it prints its port, or why it cannot.",
            detail=detail,
        )
