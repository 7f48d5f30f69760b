"""Who owns which field under server-side apply, and how ownership by older ways of writing comes to us."""

from __future__ import annotations

from typing import Any

Object = dict[str, Any]

DEFAULT_MANAGER = "pulumi-kubernetes"
_BY_HAND = ("kubectl", "before-first-apply")
"""Managers by prefix whose fields become ours: edits by hand are drift that the next deploy sets right."""
_BY_PULUMI = frozenset({DEFAULT_MANAGER, "pulumi-kubernetes.exe", "pulumi-resource-kubernetes"})
"""Managers that created or updated objects before apply; with a suffix it is another resource's own name."""


def takeover(live: Object, manager: str) -> list[Object]:
    """Return the JSON patch that hands the fields of older writers to `manager`; empty when there is nothing to hand over."""
    entries = live["metadata"].get("managedFields") or []
    ours = [each for each in entries if each["manager"] == manager and each["operation"] == "Apply"]
    theirs = [each for each in entries if each not in ours and _is_taken(each)]
    if not theirs:
        return []
    merged: Object = {}
    for each in (*ours, *theirs):
        merged = _merge(merged, each.get("fieldsV1") or {})
    base = (*ours, *theirs)[0]
    entry = {**base, "manager": manager, "operation": "Apply", "fieldsV1": merged}
    entry.pop("subresource", None)
    rest = [each for each in entries if each not in ours and each not in theirs]
    return [
        {"op": "replace", "path": "/metadata/managedFields", "value": [entry, *rest]},
        {"op": "replace", "path": "/metadata/resourceVersion", "value": live["metadata"]["resourceVersion"]},
    ]


def left_alone(obj: Object, live: Object, path: tuple[str, ...], manager: str) -> Object:
    """Return `obj` as it is applied when changes at `path` are ignored.

    A field that others own and `manager` does not is left out, so that nothing is taken from them. Otherwise the live value is
    put in: left out, the server would remove what nobody else holds. What is not live stays as described.
    """
    found: object = live
    for step in path:
        if not isinstance(found, dict) or step not in found:
            return obj
        found = found[step]
    owners = [each for each in live["metadata"].get("managedFields") or [] if _owns(each, path)]
    ours = any(each["manager"] == manager or _is_taken(each) for each in owners)
    return _with(obj, path, found, keep=ours or not owners)


def _owns(entry: Object, path: tuple[str, ...]) -> bool:
    below: Object = entry.get("fieldsV1") or {}
    for step in path:
        if f"f:{step}" not in below:
            return False
        below = below[f"f:{step}"]
    return True


def _with(obj: Object, path: tuple[str, ...], value: object, *, keep: bool) -> Object:
    """Return `obj` with `value` at `path`, or without the field there; a field that it has not is not added."""
    head, rest = path[0], path[1:]
    if head not in obj:
        return obj
    if rest:
        return {**obj, head: _with(obj[head], rest, value, keep=keep)} if isinstance(obj[head], dict) else obj
    return {**obj, head: value} if keep else {key: each for key, each in obj.items() if key != head}


def _is_taken(entry: Object) -> bool:
    # A number of replicas that somebody set with `kubectl scale` is an edit by hand as well.
    if entry.get("subresource") not in {None, "scale"}:
        return False
    manager = str(entry["manager"])
    by_pulumi = manager in _BY_PULUMI and entry["operation"] == "Update"
    return by_pulumi or manager.startswith(_BY_HAND)


def _merge(one: Object, other: Object) -> Object:
    merged = dict(one)
    for key, value in other.items():
        mine = merged.get(key)
        merged[key] = _merge(mine, value) if isinstance(mine, dict) and isinstance(value, dict) else value
    return merged
