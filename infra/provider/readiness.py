"""When an object is ready: a sentence about what is still awaited, or None; and why its pods are not.

Pure functions of live objects, so that recorded ones can be judged in tests.
"""

from __future__ import annotations

from typing import Any

Object = dict[str, Any]

AWAIT_SECONDS = 600.0
"""Limit when neither `customTimeouts` nor the annotation say another."""
SKIP = "pulumi.com/skipAwait"
TIMEOUT = "pulumi.com/timeoutSeconds"
WAIT_FOR = "pulumi.com/waitFor"


class Hopeless(Exception):  # noqa: N818 - it is the word for what happened
    """It will never be ready; the text says why."""


def annotation(obj: Object, name: str) -> str:
    """Return an annotation; empty when there is none."""
    return str((obj["metadata"].get("annotations") or {}).get(name, ""))


def awaited(obj: Object) -> str | None:
    """Return what `obj` still waits for, or None when it is ready.

    Raises:
        Hopeless: it has failed for good.
    """
    if annotation(obj, SKIP) == "true":
        return None
    condition = annotation(obj, WAIT_FOR)
    if condition:
        return _waits_for(obj, condition)
    group = obj["apiVersion"].rpartition("/")[0]
    check = _CHECKS.get((group, obj["kind"]))
    return None if check is None else check(obj)


def _conditions(obj: Object) -> dict[str, Object]:
    return {each["type"]: each for each in (obj.get("status") or {}).get("conditions") or []}


def _is_true(obj: Object, condition: str) -> bool:
    return bool(_conditions(obj).get(condition, {}).get("status") == "True")


def _waits_for(obj: Object, wanted: str) -> str | None:
    """Judge `condition=Type[=Status]`, the form of waitFor that is served."""
    words = wanted.split("=")
    if words[0] != "condition" or len(words) not in (2, 3):
        raise Hopeless(
            f"{WAIT_FOR}: {wanted!r} is not understood; write condition=Type or condition=Type=Status"
        )
    status = words[2] if len(words) > 2 else "True"  # noqa: PLR2004 - the third word
    found = next((each for name, each in _conditions(obj).items() if name.lower() == words[1].lower()), {})
    met = str(found.get("status", "")).lower() == status.lower()
    return None if met else f"condition {words[1]} to be {status}"


def _observed(obj: Object) -> bool:
    return int((obj.get("status") or {}).get("observedGeneration", 0)) >= int(
        obj["metadata"].get("generation", 0)
    )


def _deployment(obj: Object) -> str | None:
    status, wanted = obj.get("status") or {}, obj["spec"].get("replicas", 1)
    if not _observed(obj):
        return "the controller to see the change"
    progress = _conditions(obj).get("Progressing", {})
    if progress.get("reason") == "ProgressDeadlineExceeded":
        raise Hopeless(str(progress.get("message", "progress deadline exceeded")))
    updated, available = status.get("updatedReplicas", 0), status.get("availableReplicas", 0)
    if updated < wanted or available < wanted or status.get("replicas", 0) > updated:
        return f"pods: {updated} of {wanted} current, {available} available"
    return None


def _stateful_set(obj: Object) -> str | None:
    status, wanted = obj.get("status") or {}, obj["spec"].get("replicas", 1)
    ready, updated = status.get("readyReplicas", 0), status.get("updatedReplicas", 0)
    if not _observed(obj):
        return "the controller to see the change"
    on_delete = (obj["spec"].get("updateStrategy") or {}).get("type") == "OnDelete"
    if ready < wanted or (updated < wanted and not on_delete):
        return f"pods: {ready} of {wanted} ready, {updated} current"
    return None


def _daemon_set(obj: Object) -> str | None:
    status = obj.get("status") or {}
    wanted, ready = status.get("desiredNumberScheduled", 0), status.get("numberAvailable", 0)
    updated = status.get("updatedNumberScheduled", 0)
    if not _observed(obj) or ready < wanted or updated < wanted:
        return f"pods: {ready} of {wanted} available"
    return None


def _replication_controller(obj: Object) -> str | None:
    wanted, available = obj["spec"].get("replicas", 1), (obj.get("status") or {}).get("availableReplicas", 0)
    return None if available >= wanted else f"pods: {available} of {wanted} available"


def _pod(obj: Object) -> str | None:
    if (obj.get("status") or {}).get("phase") == "Succeeded" or _is_true(obj, "Ready"):
        return None
    missing = [name for name in ("PodScheduled", "Initialized", "Ready") if not _is_true(obj, name)]
    return f"pod to be {missing[0]}"


def _job(obj: Object) -> str | None:
    status = obj.get("status") or {}
    failed = _conditions(obj).get("Failed", {})
    if failed.get("status") == "True":
        raise Hopeless(f"{failed.get('reason', 'Failed')}: {failed.get('message', '')}")
    if _is_true(obj, "Complete"):
        return None
    counts = ", ".join(f"{status.get(word, 0)} {word}" for word in ("active", "succeeded", "failed"))
    return f"job to complete ({counts})"


def _service(obj: Object) -> str | None:
    if obj["spec"].get("type") != "LoadBalancer":
        return None
    ingress = ((obj.get("status") or {}).get("loadBalancer") or {}).get("ingress")
    return None if ingress else "an address of the load balancer"


def _ingress(obj: Object) -> str | None:
    ingress = ((obj.get("status") or {}).get("loadBalancer") or {}).get("ingress")
    return None if ingress else "an address of the ingress"


def _claim(obj: Object) -> str | None:
    # A claim may bind only with its first consumer, which the program has yet to make: waiting here would
    # be for ever.
    phase = (obj.get("status") or {}).get("phase")
    if phase == "Lost":
        raise Hopeless("the volume of the claim is lost")
    return None if phase in ("Bound", "Pending") else "the claim to be seen"


def _volume(obj: Object) -> str | None:
    phase = (obj.get("status") or {}).get("phase")
    return None if phase in ("Available", "Bound") else f"the volume to be available (now {phase})"


def _quota(obj: Object) -> str | None:
    return (
        None
        if (obj.get("status") or {}).get("hard") == obj["spec"].get("hard")
        else "the quota to be counted"
    )


def _definition(obj: Object) -> str | None:
    return None if _is_true(obj, "Established") else "the definition to be established"


_CHECKS = {
    ("apps", "Deployment"): _deployment,
    ("apps", "StatefulSet"): _stateful_set,
    ("apps", "DaemonSet"): _daemon_set,
    ("", "ReplicationController"): _replication_controller,
    ("", "Pod"): _pod,
    ("batch", "Job"): _job,
    ("", "Service"): _service,
    ("networking.k8s.io", "Ingress"): _ingress,
    ("", "PersistentVolumeClaim"): _claim,
    ("", "PersistentVolume"): _volume,
    ("", "ResourceQuota"): _quota,
    ("apiextensions.k8s.io", "CustomResourceDefinition"): _definition,
}


def pod_faults(pod: Object) -> list[str]:
    """Return what is wrong with a pod, a line each: not scheduled, images, crashes."""
    name, status = pod["metadata"]["name"], pod.get("status") or {}
    scheduled = _conditions(pod).get("PodScheduled", {})
    faults = [f"[Pod {name}]: {scheduled.get('message')}"] if scheduled.get("status") == "False" else []
    for each in [*(status.get("initContainerStatuses") or []), *(status.get("containerStatuses") or [])]:
        waiting = (each.get("state") or {}).get("waiting") or {}
        ended = (
            (each.get("lastState") or {}).get("terminated")
            or (each.get("state") or {}).get("terminated")
            or {}
        )
        if waiting.get("reason") not in (None, "ContainerCreating", "PodInitializing"):
            faults.append(
                f"[Pod {name}/{each['name']}]: {waiting['reason']}: {waiting.get('message', '')}".strip()
            )
        if ended.get("exitCode"):
            faults.append(
                f"[Pod {name}/{each['name']}]: ended with {ended['exitCode']}: {ended.get('message', ended.get('reason', ''))}"
            )
        elif not each.get("ready") and (each.get("state") or {}).get("running"):
            faults.append(f"[Pod {name}/{each['name']}]: runs and is not ready")
    return faults
