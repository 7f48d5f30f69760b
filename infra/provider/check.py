"""Turning what a program wrote into what is sent: read-only fields out, secrets folded, names and namespaces filled in."""

from __future__ import annotations

import base64
import copy
from typing import TYPE_CHECKING, Any

from infra.provider.values import UNKNOWN

if TYPE_CHECKING:
    from infra.provider.values import Path

Object = dict[str, Any]

READ_ONLY = (
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "generation",
    "managedFields",
    "resourceVersion",
    "uid",
)
_UNDERSCORED = "x_kubernetes_"


def normalise(obj: Object) -> Object:
    """Return a copy of `obj` without read-only metadata and with `stringData` folded into `data`."""
    clean: Object = _dashed(copy.deepcopy(obj))
    metadata = clean.get("metadata") or {}
    clean["metadata"] = {
        key: each for key, each in metadata.items() if key not in READ_ONLY and each is not None
    }
    if clean.get("kind") == "CustomResourceDefinition":
        clean.pop("status", None)
    return _folded(clean) if is_secret(clean) else clean


def is_secret(obj: Object) -> bool:
    """Tell whether an object is of kind Secret."""
    return obj.get("kind") == "Secret" and obj.get("apiVersion") == "v1"


def secret_paths(obj: Object, marked: set[Path]) -> set[Path]:
    """Return what must stay secret of an object: what the program marked, and a Secret's data always."""
    own: set[Path] = {(field,) for field in ("data", "stringData") if is_secret(obj) and field in obj}
    return own | {path for path in marked if path[:1] not in own}


def _folded(secret: Object) -> Object:
    text = secret.pop("stringData", None)
    if not isinstance(text, dict):
        return secret
    data = secret.get("data") or {}
    if data == UNKNOWN:
        return secret
    encoded = {
        key: each if each == UNKNOWN else base64.b64encode(str(each).encode()).decode()
        for key, each in text.items()
    }
    return {**secret, "data": {**data, **encoded}}


def _dashed(value: Any) -> Any:  # noqa: ANN401 - JSON
    """Return `value` with `x_kubernetes_...` keys as Kubernetes spells them."""
    if isinstance(value, dict):
        return {
            (key.replace("_", "-") if key.startswith(_UNDERSCORED) else key): _dashed(each)
            for key, each in value.items()
        }
    return [_dashed(each) for each in value] if isinstance(value, list) else value
