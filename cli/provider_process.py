"""The process of the Kubernetes provider, which the engine attaches to instead of starting its own.

It has the settings that `esq` needs, and it ends when `esq` ends, however that happens: a shell beside it
waits for the end of a pipe, which the kernel closes.
"""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

from infra.errors import EsqError

if TYPE_CHECKING:
    from pathlib import Path

PROGRAM = "pulumi-resource-kubernetes"

_END_WITH_INPUT = """
exec 3<&0
"$0" < /dev/null 3<&- &
provider=$!
{ cat <&3; kill -KILL "$provider"; } > /dev/null 2>&1 &
exec 3<&-
wait "$provider"
"""
"""Runs a program until it or standard input ends, whichever is first.

The provider does not watch its input, and Linux binds the parent-death signal to a thread of the parent.
"""

_VARIABLES = {
    # What was changed by hand (`kubectl scale`) is drift: the next deploy sets it right instead of failing.
    "PULUMI_K8S_ENABLE_PATCH_FORCE": "true",
    # Its own limits (50 requests a second after a burst of 120) make a layer of 200 objects wait.
    "PULUMI_K8S_CLIENT_QPS": "1000",
    "PULUMI_K8S_CLIENT_BURST": "1000",
}


class ProviderProcess:
    """A provider that serves both phases of a run, refresh and update; started when it is first needed.

    It has one configuration: programs must not declare a second `kubernetes.Provider`.

    Args:
        program: path of the provider.
        kubeconfig: of the cluster that it manages.
    """

    def __init__(self, program: Path, kubeconfig: Path) -> None:
        self._program = program
        self._kubeconfig = kubeconfig
        self._process: subprocess.Popen[str] | None = None
        self._port = ""

    @property
    def attachment(self) -> str:
        """Value of PULUMI_DEBUG_PROVIDERS, `kubernetes:PORT`; a provider that has ended is started again.

        Raises:
            EsqError: it does not start.
        """
        if self._process is None or self._process.poll() is not None:
            self._start()
        return f"kubernetes:{self._port}"

    def close(self) -> None:
        """End the provider. The engine cancels it at the end of a run; then it refuses further work."""
        if self._process is not None:
            self._process.communicate()
            self._process = None

    def _start(self) -> None:
        self._process = subprocess.Popen(
            ["sh", "-c", _END_WITH_INPUT, str(self._program)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, **_VARIABLES, "KUBECONFIG": str(self._kubeconfig)},
            # Ctrl-C is for the engine, which then tells the provider what to stop.
            start_new_session=True,
            text=True,
        )
        self._port = (self._process.stdout.readline() if self._process.stdout else "").strip()
        if not self._port:
            self.close()
            raise EsqError(
                "the Kubernetes provider does not start",
                location=str(self._program),
                remedy="Run it by hand: it prints its port, or why it cannot.",
            )
