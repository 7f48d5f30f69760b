"""What differs between an object and its description, and whether that needs a new object.

Only fields that the description has count: what others add is theirs. Values that Kubernetes writes in
another form (`1000m` and `1`,
an empty list and none) are the same value.
"""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

Object = dict[str, Any]
Path = tuple[str | int, ...]
MISSING = object()

_SUFFIXES = {
    "n": Decimal("1e-9"),
    "u": Decimal("1e-6"),
    "m": Decimal("1e-3"),
    "": Decimal(1),
    "k": Decimal(10**3),
    "M": Decimal(10**6),
    "G": Decimal(10**9),
    "T": Decimal(10**12),
    "P": Decimal(10**15),
    "Ki": Decimal(2**10),
    "Mi": Decimal(2**20),
    "Gi": Decimal(2**30),
    "Ti": Decimal(2**40),
    "Pi": Decimal(2**50),
}

_POD_MUTABLE = ("activeDeadlineSeconds", "tolerations", "terminationGracePeriodSeconds", "schedulingGates")
REPLACING: dict[tuple[str, str], tuple[str, ...]] = {
    ("apps", "Deployment"): ("spec.selector",),
    ("apps", "DaemonSet"): ("spec.selector",),
    ("apps", "StatefulSet"): (
        *("spec.selector", "spec.serviceName", "spec.volumeClaimTemplates"),
        *("spec.podManagementPolicy", "spec.revisionHistoryLimit"),
    ),
    ("batch", "Job"): ("spec.selector", "spec.template", "spec.completions", "spec.parallelism"),
    ("", "Service"): ("spec.clusterIP",),
    ("", "PersistentVolumeClaim"): (
        *("spec.accessModes", "spec.selector", "spec.storageClassName", "spec.volumeName"),
    ),
    ("rbac.authorization.k8s.io", "RoleBinding"): ("roleRef",),
    ("rbac.authorization.k8s.io", "ClusterRoleBinding"): ("roleRef",),
    ("storage.k8s.io", "StorageClass"): ("provisioner", "parameters"),
    ("", "ResourceQuota"): ("spec.scopes",),
}
"""Fields that no update can change, by group and kind (the official provider's table)."""

_PV_MUTABLE = (
    "capacity",
    "accessModes",
    "claimRef",
    "persistentVolumeReclaimPolicy",
    "storageClassName",
    "mountOptions",
)


def same(described: Any, live: Any) -> bool:  # noqa: ANN401 - JSON
    """Tell whether a live value is what was described."""
    if live is MISSING or live is None:
        return described in (None, "", False, 0) or described in ({}, [])
    if isinstance(described, dict) and isinstance(live, dict):
        return all(same(each, live.get(key, MISSING)) for key, each in described.items())
    if isinstance(described, list) and isinstance(live, list):
        return len(live) >= len(described) and all(
            same(mine, theirs) for mine, theirs in zip(described, live, strict=False)
        )
    if isinstance(described, bool) or isinstance(live, bool):
        return described is live
    return bool(described == live) or _same_quantity(described, live)


def _same_quantity(one: Any, other: Any) -> bool:  # noqa: ANN401 - JSON
    if not isinstance(one, str | int | float) or not isinstance(other, str | int | float):
        return False
    first, second = _quantity(str(one)), _quantity(str(other))
    return first is not None and first == second


def _quantity(text: str) -> Decimal | None:
    number = text.rstrip("numkMGTPEi")
    scale = _SUFFIXES.get(text[len(number) :])
    try:
        return None if scale is None else Decimal(number) * scale
    except InvalidOperation:
        return None


def prune(live: Any, described: Any) -> Any:  # noqa: ANN401 - JSON
    """Return `live` cut to the fields that `described` has; equal values keep the form they were described in."""
    if same(described, live):
        return described
    if isinstance(described, dict) and isinstance(live, dict):
        return {
            key: prune(live.get(key, MISSING), each)
            for key, each in described.items()
            if key in live or same(each, MISSING)
        }
    if isinstance(described, list) and isinstance(live, list):
        return [prune(theirs, mine) for mine, theirs in zip(described, live, strict=False)]
    return None if live is MISSING else live


def differences(old: Any, new: Any, path: Path = ()) -> Iterator[tuple[Path, str]]:  # noqa: ANN401 - JSON
    """Yield (path, `add`, `delete` or `update`) for everything that differs."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted({*old, *new}):
            yield from differences(old.get(key, MISSING), new.get(key, MISSING), (*path, key))
    elif isinstance(old, list) and isinstance(new, list):
        for index in range(max(len(old), len(new))):
            mine = old[index] if index < len(old) else MISSING
            yield from differences(mine, new[index] if index < len(new) else MISSING, (*path, index))
    elif old is MISSING and new is not MISSING:
        yield path, "add"
    elif new is MISSING and old is not MISSING:
        yield path, "delete"
    elif old is not new and (type(old), old) != (type(new), new) and not (same(old, new) and same(new, old)):
        yield path, "update"


def replaces(  # noqa: PLR0913 - what a difference is judged by
    group: str, kind: str, path: Path, old: Object, new: Object, *, mutable: bool = False
) -> bool:
    """Tell whether a difference at `path` needs a new object.

    Args:
        group: API group, empty for the core one.
        kind: of the object.
        path: where it differs.
        old: the description before.
        new: the description now.
        mutable: ConfigMaps and Secrets may change in place, unless marked immutable.
    """
    dotted = ".".join(str(step) for step in path)
    if dotted in ("metadata.name", "metadata.namespace"):
        return not _default_namespace(dotted, old, new)
    if kind in ("ConfigMap", "Secret") and not group:
        return _replaces_data(kind, str(path[0]), new, mutable=mutable)
    if (group, kind) == ("", "Pod"):
        return path[0] == "spec" and len(path) > 1 and path[1] not in _POD_MUTABLE
    if (group, kind) == ("", "PersistentVolume"):
        return path[0] == "spec" and len(path) > 1 and path[1] not in _PV_MUTABLE
    return any(dotted == each or dotted.startswith(f"{each}.") for each in REPLACING.get((group, kind), ()))


def _replaces_data(kind: str, field: str, new: Object, *, mutable: bool) -> bool:
    fields = ("data", "binaryData") if kind == "ConfigMap" else ("data", "stringData")
    if kind == "Secret" and field == "type":
        return True
    return field in fields and not (mutable and not new.get("immutable"))


def _default_namespace(dotted: str, old: Object, new: Object) -> bool:
    if dotted != "metadata.namespace":
        return False
    return (old["metadata"].get("namespace") or "default") == (new["metadata"].get("namespace") or "default")


def dotted(path: Path) -> str:
    """Return a path as Pulumi writes it, e.g. `spec.containers[0].image`; keys with dots or brackets are quoted."""
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        elif any(mark in step for mark in ".[]\"'"):
            text += f'["{step}"]'
        else:
            text += f".{step}" if text else step
    return text
