"""Signals to the processes of a container from its node: kill and freeze.

The kernel delivers neither SIGKILL nor SIGSTOP to the main process of a container from inside of it. A helper
pod sends them: it shares the process ids of the node and has one capability, KILL. It runs in a namespace of
its own, which the undo deletes; its deadline ends it without an undo. At its end it resumes what it froze,
unless it is killed (SIGKILL): then the container stays frozen until its liveness probe ends it or somebody
deletes its pod.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from chaos.faults.fault import Fault
from chaos.faults.kubectl import FAULT_LABEL, create, new_fault_id, wait_for
from infra.names import PART_OF_LABEL, PRODUCT

if TYPE_CHECKING:
    from pathlib import Path

    from chaos.pod_location import PodLocation

NAMESPACE_PREFIX = "esq-fault-"
MAX_SECONDS = 600
_NAME = "node-signal"
_WAIT_SECONDS = 45
_GRACE_SECONDS = 10
_FROZEN = "/frozen"
"""File in the helper pod: the processes are frozen. An image may lack any folder but the root."""
_MEMBERS = """\
members() { grep -ls -- "$0" /proc/[0-9]*/cgroup | cut -d / -f 3; }
"""
"""The processes of container $0, by the paths of their cgroups; an ended process has none."""
_KILL = (
    _MEMBERS
    + """\
for pid in $(members); do
    if [ -n "$1" ]; then
        [ "$(cat "/proc/$pid/comm" 2>/dev/null)" = "$1" ] || continue
    else
        [ "$(sed -n 's/^NSpid:.*[[:space:]]//p' "/proc/$pid/status" 2>/dev/null)" = 1 ] || continue
    fi
    echo "$(sed 's/.*) //' "/proc/$pid/stat" | cut -d ' ' -f 20) $pid"
done | sort -n | { read -r start pid && kill -KILL "$pid"; }"""
)
"""Kills the main process, or the oldest one with the name $1; fails if there is none."""
_FREEZE = (
    _MEMBERS
    + """\
signal() { for pid in $(members); do kill -"$1" "$pid" 2>/dev/null; done; }
trap 'signal CONT; kill "$!"; exit 0' TERM
[ -n "$(members)" ] || exit 1
signal STOP; signal STOP
: > "$2"
sleep "$1" & wait
signal CONT"""
)
"""Stops all processes for at most $1 seconds, then continues them; creates $2 when they are stopped.

The second pass stops what was started during the first one."""


def container_kill(kubeconfig: Path, pod: PodLocation, container: str, process: str = "") -> Fault:
    """Kill (SIGKILL) the main process of a container, and so the container; or its oldest one with a name.

    Args:
        kubeconfig: kubeconfig of the cluster.
        pod: the pod.
        container: name of a running container.
        process: name of the process; the main process if empty.

    Returns:
        The fault; its undo deletes the helper pod.

    Raises:
        ValueError: the container has no id.
    """
    wait = "--for=jsonpath={.status.phase}=Succeeded"
    return _signal("process-kill", (kubeconfig, pod, container), (_KILL, process), wait)


def container_freeze(kubeconfig: Path, pod: PodLocation, container: str) -> Fault:
    """Freeze (SIGSTOP) all processes of a container; its liveness probe may end it.

    Args:
        kubeconfig: kubeconfig of the cluster.
        pod: the pod.
        container: name of a running container.

    Returns:
        The fault; its undo continues the processes.

    Raises:
        ValueError: the container has no id.
    """
    script = (_FREEZE, str(MAX_SECONDS), _FROZEN)
    return _signal("process-freeze", (kubeconfig, pod, container), script, "--for=condition=Ready")


def _signal(kind: str, address: tuple[Path, PodLocation, str], script: tuple[str, ...], wait: str) -> Fault:
    kubeconfig, pod, container = address
    fault_id = new_fault_id()
    namespace = f"{NAMESPACE_PREFIX}{fault_id}"
    ended = ("delete", "namespaces", f"--selector={FAULT_LABEL}={fault_id}", "--ignore-not-found")
    started = ("wait", f"pod/{_NAME}", wait)
    return Fault(
        kind=kind,
        target=str(pod),
        inject=(
            create(kubeconfig, _objects(namespace, fault_id, pod, container, script)),
            wait_for(kubeconfig, *started, namespace=namespace, seconds=_WAIT_SECONDS),
        ),
        undo=(wait_for(kubeconfig, *ended, seconds=_WAIT_SECONDS),),
    )


def _objects(
    namespace: str, fault_id: str, pod: PodLocation, container: str, script: tuple[str, ...]
) -> list[dict[str, Any]]:
    labels = {PART_OF_LABEL: PRODUCT, FAULT_LABEL: fault_id}
    # The process ids of a node require the lowest level of pod security.
    levels = {f"pod-security.kubernetes.io/{mode}": "privileged" for mode in ("enforce", "audit", "warn")}
    metadata = {"name": _NAME, "namespace": namespace, "labels": labels}
    namespace_metadata = {"name": namespace, "labels": {**labels, **levels}}
    spec = _pod_spec(pod, _helper(pod, container, script))
    return [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": namespace_metadata},
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata},
        {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec},
    ]


def _helper(pod: PodLocation, container: str, script: tuple[str, ...]) -> dict[str, Any]:
    """Return the container that runs the script on the processes of another container."""
    container_id = pod.containers[container].rpartition("/")[2]
    if not container_id:
        # An empty one would match every process of the node.
        raise ValueError(f"container {container} of {pod} has no id")
    return {
        "name": _NAME,
        # The node has it.
        "image": pod.images[container],
        "imagePullPolicy": "IfNotPresent",
        "command": ["sh", "-c", script[0], container_id, *script[1:]],
        "securityContext": {
            "runAsUser": 0,
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"], "add": ["KILL"]},
        },
        "resources": {
            "requests": {"cpu": "10m", "memory": "16Mi"},
            "limits": {"cpu": "500m", "memory": "64Mi"},
        },
        "readinessProbe": {"exec": {"command": ["test", "-e", _FROZEN]}, "periodSeconds": 1},
    }


def _pod_spec(pod: PodLocation, helper: dict[str, Any]) -> dict[str, Any]:
    """Return the spec of a helper pod on the node of another pod."""
    return {
        "nodeName": pod.node,
        "hostPID": True,
        "restartPolicy": "Never",
        "activeDeadlineSeconds": MAX_SECONDS,
        "terminationGracePeriodSeconds": _GRACE_SECONDS,
        "serviceAccountName": _NAME,
        "automountServiceAccountToken": False,
        "tolerations": [{"operator": "Exists"}],
        "containers": [helper],
    }
