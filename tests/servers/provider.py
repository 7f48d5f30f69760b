"""The Pulumi engine with the official provider, in this process or in a child process."""

from __future__ import annotations

import multiprocessing
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import platformdirs

from cli.environment import load_environment
from cli.main import handle_signals
from cli.provider_process import PROGRAM, ProviderProcess
from cli.pulumi_engine import PulumiEngine
from infra.progress import RecordedStep, RecordingProgress
from infra.zones.toolchain import Toolchain

if TYPE_CHECKING:
    from collections.abc import Callable
    from multiprocessing.context import SpawnProcess

_TOOLS = Toolchain(platformdirs.user_cache_path("esq") / "toolchain", RecordingProgress())
"""Created before a test changes XDG variables."""


def new_provider(kubeconfig: Path) -> ProviderProcess:
    """Return a provider for the cluster of `kubeconfig`."""
    return ProviderProcess(_TOOLS.path(PROGRAM), kubeconfig)


def new_engine(state: Path, kubeconfig: Path, provider: ProviderProcess) -> PulumiEngine:
    """Return an engine.

    Args:
        state: folder of its stacks.
        kubeconfig: of the cluster.
        provider: that it attaches to.
    """
    folders = [str(_TOOLS.path(program).parent) for program in ("pulumi", PROGRAM)]
    os.environ["XDG_STATE_HOME"] = str(state)
    path = os.pathsep.join([*folders, os.environ["PATH"]])
    return PulumiEngine(load_environment("local"), path=path, kubeconfig=kubeconfig, provider=provider)


@dataclass(frozen=True)
class ChildDeploy:
    """A deploy in a process group of its own, so that signals reach all of its processes.

    Attributes:
        state: folder of its stacks.
        kubeconfig: of the cluster.
    """

    state: Path
    kubeconfig: Path

    def start(self, program: Callable[[], None]) -> SpawnProcess:
        """Start deploying a program, which must be importable by name."""
        arguments = (self.state, self.kubeconfig, program)
        process = multiprocessing.get_context("spawn").Process(target=_deploy, args=arguments)
        process.start()
        return process

    def provider_pids(self) -> set[int]:
        """Return the processes of all providers that manage this cluster."""
        return {
            int(folder.name)
            for folder in Path("/proc").iterdir()
            if folder.name.isdigit() and _is_provider(folder, self.kubeconfig)
        }


def _is_provider(process: Path, kubeconfig: Path) -> bool:
    try:
        arguments = (process / "cmdline").read_bytes().split(b"\0")
        variables = (process / "environ").read_bytes().split(b"\0")
    except OSError:
        return False
    return arguments[0].endswith(PROGRAM.encode()) and f"KUBECONFIG={kubeconfig}".encode() in variables


def _deploy(state: Path, kubeconfig: Path, program: Callable[[], None]) -> None:
    os.setsid()
    handle_signals()
    new_engine(state, kubeconfig, new_provider(kubeconfig)).up("data", program, RecordedStep("data"))
