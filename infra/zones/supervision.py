"""Who keeps the processes alive: configuration for `supervisor`, and a connection to it."""

from __future__ import annotations

import os
import shlex
import signal
import sys
import time
import xmlrpc.client
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
from supervisor.xmlrpc import SupervisorTransport

from infra.errors import EsqError
from infra.shell import run

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from infra.zones.layout import Layout

STOP_SECONDS = 30.0
SUPERVISORD = str(Path(sys.executable).with_name("supervisord"))
SUPERVISORCTL = str(Path(sys.executable).with_name("supervisorctl"))


@dataclass(frozen=True)
class Program:
    """A process that is kept alive.

    Attributes:
        name: in the supervisor and of its log.
        argv: program and arguments.
        log: file for both of its outputs.
        priority: lower starts earlier and stops later.
        signal: what ends it.
        environment: variables beside the supervisor's own.
    """

    name: str
    argv: Sequence[str]
    log: Path
    priority: int = 50
    signal: str = "TERM"
    environment: Mapping[str, str] = field(default_factory=dict)


def render(programs: Sequence[Program], *, socket: Path, pidfile: Path, log: Path) -> str:
    """Return a supervisord configuration: what dies is started again at once, then ever more slowly."""
    head = f"""\
[supervisord]
pidfile={pidfile}
logfile={log}
logfile_maxbytes=5MB
logfile_backups=1
minfds=16384
user=root

[unix_http_server]
file={socket}
chmod=0600

[rpcinterface:supervisor]
supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface

[supervisorctl]
serverurl=unix://{socket}
"""
    return head + "".join(_section(program) for program in programs)


def _section(program: Program) -> str:
    environment = ",".join(f'{name}="{value}"' for name, value in program.environment.items())
    command = shlex.join(program.argv).replace("%", "%%")
    return f"""
[program:{program.name}]
command={command}
priority={program.priority}
autorestart=true
startsecs=1
startretries=1000
stopsignal={program.signal}
stopwaitsecs=10
stopasgroup={"false" if program.signal == "KILL" else "true"}
killasgroup=true
redirect_stderr=true
stdout_logfile={program.log}
stdout_logfile_maxbytes=10MB
stdout_logfile_backups=1
environment={environment}
"""


class Supervisor:
    """The supervisor of a cluster: started, asked and ended through its socket."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout

    @property
    def pid(self) -> int | None:
        """Process id; None when it does not run."""
        try:
            pid = int(self._layout.pidfile.read_text())
            process = psutil.Process(pid)
        except (FileNotFoundError, ValueError, psutil.NoSuchProcess):
            return None
        alive = process.status() != psutil.STATUS_ZOMBIE and str(self._layout.supervisor) in process.cmdline()
        return pid if alive else None

    def start(self) -> None:
        """Start it with all of its programs, or let a running one take over a changed configuration."""
        if self.pid is None:
            run([SUPERVISORD, "-c", str(self._layout.supervisor)])
        else:
            run([SUPERVISORCTL, "-c", str(self._layout.supervisor), "update"], timeout=120)

    def call(self, method: str, *words: object) -> Any:  # noqa: ANN401 - XML-RPC answers are untyped
        """Call `supervisor.METHOD` and return its answer.

        Raises:
            EsqError: it does not run, or refuses.
        """
        transport = SupervisorTransport(None, None, f"unix://{self._layout.socket}")
        try:
            with xmlrpc.client.ServerProxy("http://127.0.0.1", transport=transport) as proxy:
                return getattr(proxy.supervisor, method)(*words)
        except (OSError, xmlrpc.client.Error) as error:
            raise EsqError(
                f"the cluster's supervisor refuses {method}: {error}",
                where=str(self._layout.socket),
                remedy="Is the cluster up? `esq cluster status` tells.",
            ) from error

    def states(self) -> dict[str, str]:
        """Return the state of every program, e.g. `RUNNING`; empty when the supervisor does not run."""
        if self.pid is None:
            return {}
        return {each["name"]: each["statename"] for each in self.call("getAllProcessInfo")}

    def program_pid(self, name: str) -> int:
        """Return the process id of a program."""
        return int(self.call("getProcessInfo", name)["pid"])

    def stop(self) -> None:
        """End it with all of its programs; what does not end in time is killed.

        Raises:
            EsqError: something outlived even that.
        """
        pid = self.pid
        if pid is None:
            return
        family = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
        os.kill(pid, signal.SIGTERM)
        _, left = psutil.wait_procs(family, timeout=STOP_SECONDS)
        for process in left:
            process.kill()
        _, left = psutil.wait_procs(left, timeout=STOP_SECONDS)
        if left:
            raise EsqError(f"processes {[process.pid for process in left]} do not end", where="cluster down")


def children(pid: int, deadline: float = 5.0) -> list[psutil.Process]:
    """Return the children of a process, waiting up to `deadline` seconds for the first."""
    ends = time.monotonic() + deadline
    while True:
        found: list[psutil.Process] = psutil.Process(pid).children()
        if found or time.monotonic() > ends:
            return found
        time.sleep(0.05)
