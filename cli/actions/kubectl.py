"""Arguments of kubectl for the workloads of an environment: logs, exec, port-forward, psql.

kubectl replaces this process: it then has the terminal, the signals and the exit code.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
from typing import TYPE_CHECKING, NoReturn

from infra.errors import EsqError, UsageError
from infra.names import ADMIN_ROLE, DATABASE, NAME_LABEL

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cli.actions.deployment_target import DeploymentTarget
    from cli.actions.workloads import Workload

_MAX_LOG_STREAMS = 60
"""Pods that `logs` follows at the same time; kubectl's default is 5."""
_MAX_PORT = 65_535


def logs_argv(
    workloads: Sequence[Workload], *, follow: bool, since: str, tail: int, previous: bool
) -> list[str]:
    """Return the arguments of kubectl that print logs, each line with its pod.

    Args:
        workloads: workloads of one namespace.
        follow: whether new lines are printed until Ctrl-C.
        since: maximum age of the lines, e.g. `10m`; empty for any age.
        tail: maximum number of lines per pod; -1 for all.
        previous: whether the lines of the previous container are printed, e.g. after a crash.
    """
    names = ",".join(workload.name for workload in workloads)
    containers = {workload.container for workload in workloads}
    return [
        "--namespace",
        workloads[0].namespace,
        "logs",
        f"--selector={NAME_LABEL} in ({names})",
        *([f"--container={containers.pop()}"] if len(containers) == 1 else ["--all-containers"]),
        "--prefix",
        # Otherwise the first pod without lines, e.g. one that did not restart, ends the output.
        "--ignore-errors",
        "--timestamps",
        f"--tail={tail}",
        f"--max-log-requests={_MAX_LOG_STREAMS}",
        *(["--follow"] if follow else []),
        *([f"--since={since}"] if since else []),
        *(["--previous"] if previous else []),
    ]


def exec_argv(workload: Workload, pod: str, command: Sequence[str], *, terminal: bool) -> list[str]:
    """Return the arguments of kubectl that run a command in a pod.

    Args:
        workload: workload of the pod.
        pod: name of the pod.
        command: the command and its arguments.
        terminal: whether the command gets a terminal.
    """
    flags = ["--stdin", "--tty"] if terminal else ["--stdin"]
    return [
        *("--namespace", workload.namespace, "exec", *flags, pod),
        *("--container", workload.container, "--", *command),
    ]


def port_forward_argv(workload: Workload, pod: str, ports: str) -> list[str]:
    """Return the arguments of kubectl that forward a port of 127.0.0.1 to a pod.

    Args:
        workload: workload of the pod.
        pod: name of the pod.
        ports: `LOCAL` or `LOCAL:REMOTE`; by default both are the port of the workload.

    Raises:
        UsageError: `ports` is invalid, or the workload has no port and `ports` names none.
    """
    local, _, remote = (ports or str(workload.port or "")).partition(":")
    if not remote and workload.port is None:
        raise UsageError(
            f"{workload.name} has no service, thus no port",
            location="PORTS",
            remedy="Give LOCAL:REMOTE, with a port of another program in the pod.",
        )
    pair = (local, remote or str(workload.port))
    if not all(port.isdecimal() and int(port) <= _MAX_PORT for port in pair):
        raise UsageError(
            f"invalid ports: {ports}", location="PORTS", remedy="Give LOCAL or LOCAL:REMOTE, e.g. 15432."
        )
    return ["--namespace", workload.namespace, "port-forward", "--address=127.0.0.1", pod, ":".join(pair)]


def psql_command(arguments: Sequence[str], *, write: bool) -> list[str]:
    """Return the command that runs psql in a Postgres pod, where the administrator needs no password.

    Args:
        arguments: arguments of psql, e.g. `-c 'SELECT 1'`.
        write: whether transactions may write.
    """
    read_only = "off" if write else "on"
    script = (
        f"PGOPTIONS='-c default_transaction_read_only={read_only}' "
        f'exec psql --username={ADMIN_ROLE} --dbname={DATABASE} "$@"'
    )
    return ["sh", "-c", script, "psql", *arguments]


def replace_process(target: DeploymentTarget, argv: Sequence[str]) -> NoReturn:
    """Replace this process with kubectl.

    Args:
        target: the deployment target.
        argv: arguments of kubectl.

    Raises:
        EsqError: there is no kubectl.
    """
    built = any(tool.name == "kubernetes" and tool.origin == "cache" for tool in target.tools.list())
    program = target.tools.path("kubectl") if built else shutil.which("kubectl")
    if program is None:
        raise EsqError(
            "there is no kubectl on this machine",
            location="PATH",
            remedy="Install kubectl, or build it: `esq toolchain build`.",
        )
    sys.stdout.flush()
    # Python ignores it, and kubectl would inherit that: it would go on writing into a closed pipe.
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    # The kubeconfig is not an argument: other users of this machine see arguments.
    os.execve(  # noqa: S606 - no shell is wanted
        program, ["kubectl", *argv], {**os.environ, "KUBECONFIG": str(target.kubeconfig)}
    )
