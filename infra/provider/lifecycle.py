"""What is done to an object between its first preview and its deletion. Knows nothing of the wire to the engine."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from infra.provider import api as k8s
from infra.provider.identity import is_patch
from infra.provider.ownership import DEFAULT_MANAGER, takeover
from infra.provider.readiness import annotation

if TYPE_CHECKING:
    from collections.abc import Callable

    from infra.provider.api import Api, Kind
    from infra.provider.waiting import Waiter

Object = dict[str, Any]

PATCH_FORCE = "pulumi.com/patchForce"
PATCH_MANAGER = "pulumi.com/patchFieldManager"
PROPAGATION = "pulumi.com/deletionPropagationPolicy"
_RETRIES = 5
_GUIDE = 'Someone else owns these fields. Leave them out of the program, or take them with the annotation pulumi.com/patchForce: "true".'
_ADOPT = (
    "It exists already and this stack did not make it. Import it (`pulumi import`), describe only some of its fields with a Patch resource, "
    "set upsertExistingObjects to take it over, or use deleteBeforeReplace or an alias if it was this stack's under another name."
)


class RefusedError(Exception):
    """The API server refused, told with what to do about it."""


@dataclass(frozen=True)
class Options:
    """How objects are written.

    Attributes:
        force: take fields from other managers.
        upsert: create by apply, adopting what is there.
    """

    force: bool = False
    upsert: bool = False


class Lifecycle:
    """Creates, updates, reads and deletes objects of one cluster."""

    def __init__(self, api: Api, waiter: Waiter, options: Options) -> None:
        self._api = api
        self._waiter = waiter
        self._options = options

    def manager(self, obj: Object, state: Object | None) -> str:
        """Return the field manager of an object: asked for, kept from before, or new."""
        return (
            annotation(obj, PATCH_MANAGER)
            or (state or {}).get("__fieldManager")
            or f"{DEFAULT_MANAGER}-{secrets.token_hex(4)}"
        )

    def preview_create(self, token: str, obj: Object) -> Object:
        """Return what creating would give, by a dry run where the server and our rights allow one.

        Raises:
            RefusedError: the server would refuse.
        """
        if is_patch(token):
            return obj
        try:
            kind = self._api.kind(obj["apiVersion"], obj["kind"])
            live = self._api.create(kind, obj, DEFAULT_MANAGER, dry_run=True)
        except k8s.NoSuchKindError:
            return obj
        except k8s.ApiError as error:
            harmless = error.code in (k8s.FORBIDDEN, k8s.NOT_FOUND) or error.reason == "AlreadyExists"
            if harmless or "does not support dry run" in str(error):
                return obj
            raise _told(error, DEFAULT_MANAGER) from error
        return {key: value for key, value in live.items() if key != "status"}

    def create(self, token: str, obj: Object, manager: str, say: Callable[[str], None]) -> Object:
        """Create the object and return it, not waiting for anything.

        Raises:
            RefusedError: the server refuses.
        """
        by_apply = is_patch(token) or self._options.upsert
        for attempt in range(_RETRIES + 1):
            try:
                kind = self._api.kind(obj["apiVersion"], obj["kind"])
                if by_apply:
                    return self._api.apply(kind, obj, manager, force=self._forced(obj))
                return self._api.create(kind, obj, DEFAULT_MANAGER)
            except (k8s.ApiError, k8s.NoSuchKindError) as error:
                # A namespace or a CRD made beside us may need a moment.
                retriable = isinstance(error, k8s.NoSuchKindError) or error.code == k8s.NOT_FOUND
                if not retriable or attempt == _RETRIES:
                    raise _told(error, manager) from error
                say(f"Retry #{attempt + 1}; creation failed: {error}")
                time.sleep(2**attempt * 0.5)
        raise AssertionError("the last attempt returns or raises")

    def preview_update(self, obj: Object, manager: str) -> Object:
        """Return what updating would give, by a dry run where our rights allow one.

        Raises:
            RefusedError: a conflict, or the server would refuse.
        """
        try:
            kind = self._api.kind(obj["apiVersion"], obj["kind"])
            live = self._api.get(kind, obj["metadata"].get("namespace"), obj["metadata"]["name"])
            # What would be handed over first cannot be handed over in a preview, so it must not count as a
            # conflict.
            owned_by_hand = live is not None and bool(takeover(live, manager))
            return self._api.apply(kind, obj, manager, force=self._forced(obj) or owned_by_hand, dry_run=True)
        except k8s.NoSuchKindError:
            return obj
        except k8s.ApiError as error:
            if error.code == k8s.FORBIDDEN:
                return obj
            raise _told(error, manager) from error

    def update(self, token: str, obj: Object, manager: str, old_manager: str) -> Object:
        """Apply the object and return it, not waiting for anything.

        Raises:
            RefusedError: a conflict, or the server refuses.
        """
        try:
            kind = self._api.kind(obj["apiVersion"], obj["kind"])
            live = self._api.get(kind, obj["metadata"].get("namespace"), obj["metadata"]["name"])
            if live is not None and obj["kind"] == "CustomResourceDefinition":
                version = {**obj["metadata"], "resourceVersion": live["metadata"]["resourceVersion"]}
                return self._api.replace(kind, {**obj, "metadata": version}, manager)
            if live is not None and not is_patch(token):
                self._take_over(kind, live, manager)
            applied = self._api.apply(kind, obj, manager, force=self._forced(obj))
            if old_manager not in ("", manager):
                self._release(kind, obj, old_manager)
        except (k8s.ApiError, k8s.NoSuchKindError) as error:
            raise _told(error, manager) from error
        return applied

    def wait(self, obj: Object, seconds: float, say: Callable[[str], None]) -> Object:
        """Return the object once it is ready; raises what the waiter raises."""
        return self._waiter.until_ready(self._api.kind(obj["apiVersion"], obj["kind"]), obj, seconds, say)

    def read(self, api_version: str, kind: str, namespace: str | None, name: str) -> Object | None:
        """Return the live object; None when it, or its kind, is gone."""
        try:
            return self._api.get(self._api.kind(api_version, kind), namespace, name)
        except k8s.NoSuchKindError:
            return None

    def delete(
        self, token: str, state: Object, manager: str, seconds: float, say: Callable[[str], None]
    ) -> None:
        """Delete the object, or release a Patch resource's fields, and wait until it is gone.

        Raises:
            RefusedError: the server refuses.
        """
        metadata = state["metadata"]
        try:
            kind = self._api.kind(state["apiVersion"], state["kind"])
            if is_patch(token):
                self._release(kind, state, manager)
                return
            policy = annotation(state, PROPAGATION).capitalize()
            propagation = policy if policy in ("Background", "Orphan") else "Foreground"
            # By uid, so that a successor of the same name is never deleted in its stead.
            self._api.delete(
                kind,
                metadata.get("namespace"),
                metadata["name"],
                propagation=propagation,
                uid=metadata.get("uid", ""),
            )
        except k8s.NoSuchKindError:
            return
        except k8s.ApiError as error:
            raise _told(error, manager) from error
        if annotation(state, "pulumi.com/skipAwait") != "true":
            self._waiter.until_gone(kind, state, seconds, say)

    def _take_over(self, kind: Kind, live: Object | None, manager: str) -> None:
        """Hand the fields of older writers to `manager`, anew when the object changes while we look."""
        for attempt in range(_RETRIES + 1):
            handover = takeover(live, manager) if live is not None else []
            if live is None or not handover:
                return
            try:
                self._api.patch(kind, live, handover)
            except k8s.ApiError as error:
                if error.code != k8s.CONFLICT or attempt == _RETRIES:
                    raise
                live = self._api.get(kind, live["metadata"].get("namespace"), live["metadata"]["name"])
            else:
                return

    def _release(self, kind: Kind, obj: Object, manager: str) -> None:
        """Give up all fields that `manager` owns; an object that is gone has none."""
        metadata = obj["metadata"]
        if self._api.get(kind, metadata.get("namespace"), metadata["name"]) is None:
            return
        kept = {key: metadata[key] for key in ("name", "namespace") if key in metadata}
        self._api.apply(
            kind, {"apiVersion": obj["apiVersion"], "kind": obj["kind"], "metadata": kept}, manager
        )

    def _forced(self, obj: Object) -> bool:
        return self._options.force or annotation(obj, PATCH_FORCE) == "true"


def _told(error: k8s.ApiError | k8s.NoSuchKindError, manager: str) -> RefusedError:
    """Return the server's refusal with what to do about it."""
    if isinstance(error, k8s.NoSuchKindError):
        return RefusedError(
            f"apiVersion for this resource does not exist. Verify that any required CRDs have been created: {error}"
        )
    if error.reason == "AlreadyExists":
        return RefusedError(f"{error}. {_ADOPT}")
    if error.code == k8s.CONFLICT and error.causes:
        fields = "; ".join(f"{cause.get('message')}: {cause.get('field')}" for cause in error.causes)
        return RefusedError(
            f'server-side apply field conflict: the resource managed by field manager "{manager}" had an apply conflict: {fields}. {_GUIDE}'
        )
    return RefusedError(str(error))
