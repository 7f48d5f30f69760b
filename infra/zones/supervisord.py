"""Configuration of supervisord, which restarts the processes of a cluster, and a client for it."""

from __future__ import annotations

import hashlib
import http.client
import os
import shlex
import signal
import socket
import sys
import time
import xmlrpc.client
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from infra.errors import EsqError
from infra.subprocesses import run

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from infra.zones.paths import ClusterPaths

STOP_TIMEOUT_SECONDS = 30.0
POLL_INTERVAL_SECONDS = 0.05
NODE_RPC_TIMEOUT_SECONDS = 3.0
"""A node's supervisor responds within milliseconds unless the zone is frozen."""
NODE_START_TIMEOUT_SECONDS = 5.0
"""A node's supervisor starts within one second; one that is later starts its programs without a poll."""
NODE_SOCKET = Path("/run/supervisor.sock")
"""Socket of the supervisor inside a node, as a path inside the node."""
SUPERVISORD = str(Path(sys.executable).with_name("supervisord"))
SUPERVISORCTL = str(Path(sys.executable).with_name("supervisorctl"))


@dataclass(frozen=True)
class Program:
    """A supervised process.

    Attributes:
        name: name in the supervisor.
        argv: program and arguments.
        log: file for both of its outputs.
        priority: lower starts earlier and stops later.
        signal: that stops it.
        environment: variables in addition to those of the supervisor.
        watched_files: files or folders that it reads only at its start; it is restarted when they change.
    """

    name: str
    argv: Sequence[str]
    log: Path
    priority: int = 50
    signal: str = "TERM"
    environment: Mapping[str, str] = field(default_factory=dict)
    watched_files: Sequence[Path] = ()

    @property
    def variables(self) -> dict[str, str]:
        """All variables; a digest of the watched files makes the supervisor restart it on changes."""
        return {
            **self.environment,
            **({"ESQ_WATCHED_FILES_DIGEST": _digest(self.watched_files)} if self.watched_files else {}),
        }


def render(programs: Sequence[Program], *, socket: Path, pidfile: Path, log: Path) -> str:
    """Return a supervisord configuration: exited programs restart at once, later with increasing delays.

    Args:
        programs: programs to supervise.
        socket: socket of the RPC interface.
        pidfile: PID file of supervisord.
        log: log file of supervisord.
    """
    header = f"""\
[supervisord]
pidfile={pidfile}
logfile={log}
logfile_maxbytes=5MB
logfile_backups=1
minfds=16384
user=root
directory=/

[unix_http_server]
file={socket}
chmod=0600

[rpcinterface:supervisor]
supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface

[supervisorctl]
serverurl=unix://{socket}
"""
    return header + "".join(_section(program) for program in programs)


def _digest(paths: Sequence[Path]) -> str:
    files = sorted(
        file for path in paths for file in (path.rglob("*") if path.is_dir() else [path]) if file.is_file()
    )
    digest = hashlib.sha256()
    for file in files:
        digest.update(f"{file}\0".encode())
        digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()[:16]


def _section(program: Program) -> str:
    environment = ",".join(f'{name}="{value}"' for name, value in program.variables.items())
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
    """Client of the supervisor of a cluster, through its socket."""

    def __init__(self, paths: ClusterPaths) -> None:
        self._paths = paths

    @property
    def pid(self) -> int | None:
        """PID; None when it is not running."""
        try:
            pid = int(self._paths.pidfile.read_text())
            arguments = psutil.Process(pid).cmdline()
        except (FileNotFoundError, ValueError, psutil.NoSuchProcess):  # a zombie raises NoSuchProcess as well
            return None
        return pid if str(self._paths.supervisor_config) in arguments else None

    def start(self) -> None:
        """Start it; a running one applies changes and starts programs that are not running."""
        if self.pid is None:
            run([SUPERVISORD, "-c", str(self._paths.supervisor_config)])
            return
        run([SUPERVISORCTL, "-c", str(self._paths.supervisor_config), "update"], timeout=120)
        for name, state in self.states().items():
            if state in {"STOPPED", "EXITED", "FATAL"}:
                self.call("startProcess", name)

    def poll_nodes(self, zones: Sequence[str]) -> None:
        """Make the supervisors inside nodes start their programs at once.

        An idle supervisor checks its programs once a second; any RPC makes it check.
        """
        deadline = time.monotonic() + NODE_START_TIMEOUT_SECONDS
        self.states()
        for zone in zones:
            while not self.node_states(zone) and time.monotonic() < deadline:
                time.sleep(POLL_INTERVAL_SECONDS)

    def _wait_for_exit(self, seconds: float) -> None:
        """Wait until it has exited; poll it meanwhile, so that it checks its programs more often."""
        deadline = time.monotonic() + seconds
        while self.pid is not None and time.monotonic() < deadline:
            with suppress(EsqError):
                self.call("getState")
            time.sleep(POLL_INTERVAL_SECONDS)

    def call(self, method: str, *args: object) -> Any:  # noqa: ANN401 - XML-RPC results are untyped
        """Call `supervisor.METHOD`.

        Args:
            method: method of the RPC interface.
            args: arguments of the method.

        Returns:
            The result of the method.

        Raises:
            EsqError: it is not running, or the call fails.
        """
        try:
            return _call_rpc(self._paths.socket, method, *args, timeout=STOP_TIMEOUT_SECONDS)
        except (OSError, xmlrpc.client.Error) as error:
            raise EsqError(
                f"the cluster's supervisor rejects {method}: {error}",
                location=str(self._paths.socket),
                remedy="Check whether the cluster is up: `esq cluster status`.",
            ) from error

    def states(self) -> dict[str, str]:
        """Return the state of every program, e.g. `RUNNING`; empty when the supervisor is not running."""
        if self.pid is None:
            return {}
        return {info["name"]: info["statename"] for info in self.call("getAllProcessInfo")}

    def node_states(self, zone: str) -> dict[str, str]:
        """Return the state of every program of a node's supervisor; empty when the node does not respond."""
        try:
            first = wait_for_children(self.program_pid(zone), timeout=0)
            path = Path(f"/proc/{first[0].pid}/root") / NODE_SOCKET.relative_to("/")
            response = _call_rpc(path, "getAllProcessInfo", timeout=NODE_RPC_TIMEOUT_SECONDS)
            return {info["name"]: info["statename"] for info in response}
        except (IndexError, psutil.NoSuchProcess, OSError, xmlrpc.client.Error):
            return {}

    def program_pid(self, name: str) -> int:
        """Return the PID of a program."""
        return int(self.call("getProcessInfo", name)["pid"])

    def stop(self) -> None:
        """Stop it with all of its programs; programs that do not exit in time are killed.

        Raises:
            EsqError: a process survives the kill.
        """
        pid = self.pid
        if pid is None:
            return
        processes = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
        os.kill(pid, signal.SIGTERM)
        self._wait_for_exit(STOP_TIMEOUT_SECONDS)
        kill(processes, location="cluster down")


class _UnixConnection(http.client.HTTPConnection):
    """HTTP over a Unix socket; supervisor's own client has no timeout."""

    def __init__(self, path: Path, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


class _Transport(xmlrpc.client.Transport):
    """XML-RPC transport over such a connection."""

    def __init__(self, path: Path, timeout: float) -> None:
        super().__init__()
        self._unix_connection = _UnixConnection(path, timeout)

    def make_connection(self, host: tuple[str, dict[str, str]] | str) -> http.client.HTTPConnection:
        self._connection = (host, self._unix_connection)
        return self._unix_connection


def _call_rpc(path: Path, method: str, *args: object, timeout: float) -> Any:  # noqa: ANN401 - XML-RPC results are untyped
    transport = _Transport(path, timeout)
    with xmlrpc.client.ServerProxy("http://localhost", transport=transport) as proxy:
        return getattr(proxy.supervisor, method)(*args)


def kill(processes: Iterable[psutil.Process], location: str) -> None:
    """Kill processes and wait until they have exited; processes that exited before are ignored.

    Args:
        processes: processes to kill.
        location: location that the error states.

    Raises:
        EsqError: processes do not exit; the message lists them.
    """
    remaining = list(processes)
    for process in remaining:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    deadline = time.monotonic() + STOP_TIMEOUT_SECONDS
    while remaining := [process for process in remaining if _is_alive(process)]:
        if time.monotonic() > deadline:
            raise EsqError(f"processes do not exit: {', '.join(map(str, remaining))}", location=location)
        time.sleep(POLL_INTERVAL_SECONDS)


def _is_alive(process: psutil.Process) -> bool:
    """Return whether a process is still running.

    Identified by more than its PID, which may have been reused; threads use up PIDs as well. A zombie counts
    as exited.
    """
    with suppress(psutil.NoSuchProcess):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False


def wait_for_children(pid: int, timeout: float = 5.0) -> list[psutil.Process]:
    """Return the children of a process, waiting for the first one.

    Args:
        pid: PID of the parent.
        timeout: timeout in seconds.
    """
    end = time.monotonic() + timeout
    while True:
        processes: list[psutil.Process] = psutil.Process(pid).children()
        if processes or time.monotonic() > end:
            return processes
        time.sleep(POLL_INTERVAL_SECONDS)
