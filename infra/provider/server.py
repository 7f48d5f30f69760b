"""The plugin as one process for all layers: the engine attaches to it instead of starting its own each time.

Starting costs 0.6 s, twice in each run of the engine (refresh and update). The process ends with whoever
started it, however that ends: its standard input is a pipe that the kernel then closes.
"""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

from infra.errors import EsqError
from infra.provider.folder import EXECUTABLE, UNTIL_EOF, plugin_folder

if TYPE_CHECKING:
    from pathlib import Path


class ProviderServer:
    """A plugin that stays; started when it is first asked for.

    Args:
        kubeconfig: of the cluster that it manages.
    """

    def __init__(self, kubeconfig: Path) -> None:
        self._kubeconfig = kubeconfig
        self._process: subprocess.Popen[str] | None = None
        self._port = ""

    @property
    def attachment(self) -> str:
        """What the engine is told, `kubernetes:PORT`; a plugin that has ended is started again.

        Raises:
            EsqError: it does not start.
        """
        if self._process is None or self._process.poll() is not None:
            self._start()
        return f"kubernetes:{self._port}"

    def _start(self) -> None:
        self._process = subprocess.Popen(
            [str(plugin_folder() / EXECUTABLE), UNTIL_EOF],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "KUBECONFIG": str(self._kubeconfig)},
            # Ctrl-C is for the engine, which then tells the plugin what to stop.
            start_new_session=True,
            text=True,
        )
        self._port = (self._process.stdout.readline() if self._process.stdout else "").strip()
        if not self._port:
            raise EsqError(
                "the Kubernetes provider plugin does not start",
                location=str(plugin_folder() / EXECUTABLE),
                remedy="Run it by hand: it prints its port, or why it cannot.",
            )

    def close(self) -> None:
        """End it."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None
