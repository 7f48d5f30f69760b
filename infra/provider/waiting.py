"""Waiting for objects to become ready or to go, with a deadline and a line that says what is awaited."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from infra.provider import readiness
from infra.provider.api import ApiError, NoSuchKindError

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable

    from infra.provider.api import Api, Kind

Object = dict[str, Any]

_POLL, _SLOWEST = 0.15, 1.0
_FAULTS_EVERY = 10.0
_LOG_LINES = 10
_MOST_FAULTS = 12


class NotReady(Exception):  # noqa: N818 - it is the word for what happened
    """The object is there and not ready.

    Attributes:
        live: as it was seen last.
        reasons: why, most important first.
    """

    def __init__(self, live: Object, reasons: list[str]) -> None:
        super().__init__("; ".join(reasons))
        self.live = live
        self.reasons = reasons


class Cancelled(Exception):  # noqa: N818 - it is the word for what happened
    """The engine is being stopped."""


class Waiter:
    """Waits on one cluster.

    Args:
        api: the cluster.
        stopped: set when everything must end.
    """

    def __init__(self, api: Api, stopped: threading.Event) -> None:
        self._api = api
        self._stopped = stopped

    def until_ready(self, kind: Kind, obj: Object, seconds: float, say: Callable[[str], None]) -> Object:
        """Return the object once it is ready.

        Args:
            kind: of the object.
            obj: as it was just written.
            seconds: limit; 0 means the annotation's or the default.
            say: told what is awaited.

        Raises:
            NotReady: the limit passed, or it failed for good.
            Cancelled: everything must end.
        """
        limit = seconds or float(readiness.annotation(obj, readiness.TIMEOUT) or readiness.AWAIT_SECONDS)
        metadata, begun, told, pause = obj["metadata"], time.monotonic(), 0.0, _POLL
        live = obj
        while True:
            try:
                missing = readiness.awaited(live)
            except readiness.Hopeless as error:
                raise NotReady(live, [str(error), *self.faults(live)]) from error
            if missing is None:
                return live
            say(f"waiting for {missing}")
            elapsed = time.monotonic() - begun
            if elapsed > limit:
                headline = f"'{metadata['name']}' timed out after {limit:.0f} s waiting for {missing}"
                raise NotReady(live, [headline, *self.faults(live)])
            if elapsed - told > _FAULTS_EVERY:
                told = elapsed
                for fault in self.faults(live, logs=False)[:3]:
                    say(fault)
            self._pause(pause)
            pause = min(pause * 1.3, _SLOWEST)
            live = self._api.get(kind, metadata.get("namespace"), metadata["name"]) or live

    def until_gone(self, kind: Kind, obj: Object, seconds: float, say: Callable[[str], None]) -> None:
        """Return once the object is gone or another one bears its name.

        Raises:
            NotReady: it is still there at the limit.
        """
        limit = seconds or float(readiness.annotation(obj, readiness.TIMEOUT) or readiness.AWAIT_SECONDS)
        metadata, begun, pause = obj["metadata"], time.monotonic(), _POLL
        while True:
            live = self._api.get(kind, metadata.get("namespace"), metadata["name"])
            if live is None or live["metadata"]["uid"] != metadata.get("uid", live["metadata"]["uid"]):
                return
            why = _held_by(live)
            say(f"waiting for deletion{why}")
            if time.monotonic() - begun > limit:
                raise NotReady(live, [f"'{metadata['name']}' still exists after {limit:.0f} s{why}"])
            self._pause(pause)
            pause = min(pause * 1.3, _SLOWEST)

    def faults(self, obj: Object, *, logs: bool = True) -> list[str]:
        """Return what is known to be wrong around an object: pods, their last log lines, warnings."""
        try:
            pods = self._pods(obj)
            found = [fault for pod in pods for fault in readiness.pod_faults(pod)]
            if logs and found:
                found += [line for pod in pods for line in self._last_words(pod)]
            names = {obj["metadata"]["name"], *(pod["metadata"]["name"] for pod in pods)}
            return [*found, *self._warnings(obj, names)][:_MOST_FAULTS]
        except (ApiError, NoSuchKindError):
            # These are remarks beside the real error: without the right to read them we go without.
            return []

    def _pods(self, obj: Object) -> list[Object]:
        if obj["kind"] == "Pod":
            return [obj]
        labels = ((obj.get("spec") or {}).get("selector") or {}).get("matchLabels") or {}
        if not labels or "template" not in obj["spec"]:
            return []
        selector = ",".join(f"{key}={value}" for key, value in labels.items())
        return self._api.matching(
            self._api.kind("v1", "Pod"), obj["metadata"]["namespace"], labelSelector=selector
        )

    def _last_words(self, pod: Object) -> list[str]:
        status = pod.get("status") or {}
        kind, metadata, lines = self._api.kind("v1", "Pod"), pod["metadata"], []
        for each in [*(status.get("initContainerStatuses") or []), *(status.get("containerStatuses") or [])]:
            ended = (each.get("state") or {}).get("terminated") or {}
            if each.get("ready") or ended.get("exitCode") == 0:
                continue
            previous = (
                "false"
                if (each.get("state") or {}).get("running") or not each.get("restartCount")
                else "true"
            )
            query = {"container": each["name"], "tailLines": str(_LOG_LINES), "previous": previous}
            text = self._api.text(kind, metadata["namespace"], metadata["name"], "log", **query)
            if text.strip():
                lines.append(f"[Pod {metadata['name']}/{each['name']}] last lines:\n{text.strip()}")
        return lines

    def _warnings(self, obj: Object, names: set[str]) -> list[str]:
        namespace = obj["metadata"].get("namespace")
        if namespace is None:
            return []
        events = self._api.matching(self._api.kind("v1", "Event"), namespace, fieldSelector="type=Warning")
        relevant = [each for each in events if each["involvedObject"].get("name") in names]
        return list(dict.fromkeys(f"{each.get('reason')}: {each.get('message')}" for each in relevant))

    def _pause(self, seconds: float) -> None:
        if self._stopped.wait(seconds):
            raise Cancelled("Resource operation was cancelled")


def _held_by(live: Object) -> str:
    finalizers = live["metadata"].get("finalizers") or []
    others = [
        name for name in finalizers if name not in ("foregroundDeletion", "kubernetes.io/pvc-protection")
    ]
    reasons = [f"finalizers might be preventing deletion ({', '.join(others)})"] if others else []
    conditions = (live.get("status") or {}).get("conditions") or []
    reasons += [
        str(each.get("message", ""))
        for each in conditions
        if each["type"].startswith(("NamespaceDeletion", "NamespaceContent", "NamespaceFinalizers"))
        and each["status"] == "True"
    ]
    return f": {'; '.join(reasons)}" if reasons else ""
