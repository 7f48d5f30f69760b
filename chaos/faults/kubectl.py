"""Commands for the API server of any cluster, and the rules for what a fault creates there.

Everything that a fault creates or changes carries the label `esq/fault` with the id of the fault. Its undo
selects by this label, so that it works in another process, when the objects are gone, and when they were
never created; objects of others are not selected.
"""

from __future__ import annotations

import json
import uuid
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from chaos.faults.fault import Command
    from chaos.pod_location import PodLocation

FAULT_LABEL = "esq/fault"
REQUEST_TIMEOUT = "--request-timeout=10s"
"""Of each request; a command that waits has a limit of its own."""

_CREATE = 'printf %s "$1" | exec "$0" --kubeconfig="$2" --request-timeout=10s create --filename=-'
_IF_RUNNING = """\
running=$(kubectl --kubeconfig="$0" --request-timeout=10s --namespace="$1" get pod "$2" --ignore-not-found \\
    --output=jsonpath='{range .status.containerStatuses[?(@.state.running)]}{.containerID} {end}') || exit 1
case "$running" in *"$3"*) ;; *) exit 0 ;; esac
namespace=$1 pod=$2 container=$4; shift 4
exec kubectl --kubeconfig="$0" --request-timeout=30s --namespace="$namespace" exec "$pod" \\
    --container="$container" -- "$@\""""


def new_fault_id() -> str:
    """Return the id of a new fault: the value of its label."""
    return uuid.uuid4().hex[:8]


def kubectl(kubeconfig: Path, *args: str, namespace: str = "") -> Command:
    """Return a command of kubectl.

    Args:
        kubeconfig: kubeconfig of the cluster.
        args: arguments.
        namespace: namespace; empty for objects without one.
    """
    in_namespace = (f"--namespace={namespace}",) if namespace else ()
    return ("kubectl", f"--kubeconfig={kubeconfig}", REQUEST_TIMEOUT, *in_namespace, *args)


def wait_for(kubeconfig: Path, *args: str, seconds: int, namespace: str = "") -> Command:
    """Return a command of kubectl that waits for its effect.

    Args:
        kubeconfig: kubeconfig of the cluster.
        args: arguments.
        seconds: limit of the wait; one request lasts as long.
        namespace: namespace; empty for objects without one.
    """
    in_namespace = (f"--namespace={namespace}",) if namespace else ()
    return ("kubectl", f"--kubeconfig={kubeconfig}", *in_namespace, *args, f"--timeout={seconds}s")


def create(kubeconfig: Path, objects: Sequence[dict[str, Any]]) -> Command:
    """Return the command that creates objects in order; it fails if one exists.

    Args:
        kubeconfig: kubeconfig of the cluster.
        objects: manifests.
    """
    manifest = json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects)})
    return ("sh", "-c", _CREATE, "kubectl", manifest, str(kubeconfig))


def exec_in(kubeconfig: Path, pod: PodLocation, container: str, argv: Sequence[str]) -> Command:
    """Return the command that runs a program in a container.

    Args:
        kubeconfig: kubeconfig of the cluster.
        pod: the pod.
        container: name of the container.
        argv: program and arguments.
    """
    return kubectl(
        kubeconfig, "exec", pod.pod, f"--container={container}", "--", *argv, namespace=pod.namespace
    )


def exec_if_running(kubeconfig: Path, pod: PodLocation, container: str, argv: Sequence[str]) -> Command:
    """Return the same command, which succeeds without effect if this run of the container has ended.

    Args:
        kubeconfig: kubeconfig of the cluster.
        pod: the pod.
        container: name of the container.
        argv: program and arguments.
    """
    container_id = pod.containers[container]
    return (
        *("sh", "-c", _IF_RUNNING, str(kubeconfig)),
        *(pod.namespace, pod.pod, container_id, container, *argv),
    )
