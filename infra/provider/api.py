"""The only place that talks to the Kubernetes API: discovery, verbs, and its errors as ours."""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import httpx

if TYPE_CHECKING:
    from infra.provider.kubeconfig import Access

REQUEST_SECONDS = 30.0
"""For one request; waiting for readiness has deadlines of its own and asks again and again."""
_APPLY = "application/apply-patch+yaml"
_JSON_PATCH = "application/json-patch+json"
CONFLICT, NOT_FOUND, FORBIDDEN = 409, 404, 403
Object = dict[str, Any]


class ApiError(Exception):
    """The API server refused.

    Attributes:
        code: HTTP status.
        reason: Kubernetes' own word, e.g. `AlreadyExists`.
        causes: details, e.g. the fields that an invalid object fails for.
    """

    def __init__(self, code: int, status: Object) -> None:
        super().__init__(str(status.get("message", f"HTTP {code}")))
        self.code = code
        self.reason = str(status.get("reason", ""))
        self.causes: list[Object] = (status.get("details") or {}).get("causes") or []


class NoSuchKindError(Exception):
    """The server knows no such kind: a CRD that is missing, or an apiVersion that was removed."""


@dataclass(frozen=True)
class Kind:
    """A kind as the server serves it."""

    api_version: str
    kind: str
    plural: str
    namespaced: bool

    def path(self, namespace: str | None, name: str = "", subresource: str = "") -> str:
        """Return the URL path of an object, or of the collection without `name`."""
        root = f"/api/{self.api_version}" if "/" not in self.api_version else f"/apis/{self.api_version}"
        where = f"/namespaces/{namespace}" if self.namespaced and namespace else ""
        return (
            f"{root}{where}/{self.plural}"
            + (f"/{name}" if name else "")
            + (f"/{subresource}" if subresource else "")
        )


class Api:
    """A cluster's API. Safe to use from many threads."""

    def __init__(self, access: Access) -> None:
        headers = {"Authorization": f"Bearer {access.token}"} if access.token else {}
        self._client = httpx.Client(
            base_url=access.server,
            verify=access.context,
            headers=headers,
            timeout=REQUEST_SECONDS,
            limits=httpx.Limits(max_connections=64, max_keepalive_connections=32),
            trust_env=False,
        )
        self._kinds: dict[str, dict[str, Kind]] = {}
        self._lock = threading.Lock()

    def close(self) -> None:
        """Close all connections."""
        self._client.close()

    def ping(self) -> None:
        """Raise `httpx.HTTPError` when nobody answers."""
        self._client.get("/version", timeout=5.0)

    def kind(self, api_version: str, kind: str) -> Kind:
        """Return how the server serves a kind.

        Raises:
            NoSuchKindError: it does not.
        """
        with self._lock:
            found = self._kinds.get(api_version, {}).get(kind)
            if found is None:
                self._kinds[api_version] = self._discover(api_version)
                found = self._kinds[api_version].get(kind)
        if found is None:
            raise NoSuchKindError(
                f"no {kind} in {api_version}: is its CRD there, and the apiVersion still served?"
            )
        return found

    def _discover(self, api_version: str) -> dict[str, Kind]:
        root = f"/api/{api_version}" if "/" not in api_version else f"/apis/{api_version}"
        answer = self._client.get(root)
        if answer.status_code == NOT_FOUND:
            return {}
        resources = self._read(answer)["resources"]
        return {
            each["kind"]: Kind(api_version, each["kind"], each["name"], each["namespaced"])
            for each in resources
            if "/" not in each["name"]
        }

    def get(self, kind: Kind, namespace: str | None, name: str) -> Object | None:
        """Return the object; None when there is none."""
        answer = self._client.get(kind.path(namespace, name))
        return None if answer.status_code == NOT_FOUND else self._read(answer)

    def matching(self, kind: Kind, namespace: str | None, **selectors: str) -> list[Object]:
        """Return the objects that match, e.g. `labelSelector="app=web"`."""
        return list(self._read(self._client.get(kind.path(namespace), params=selectors))["items"])

    def text(self, kind: Kind, namespace: str, name: str, subresource: str, **query: str) -> str:
        """Return a subresource that is text, e.g. the log of a pod; empty when there is none."""
        answer = self._client.get(kind.path(namespace, name, subresource), params=query)
        return answer.text if answer.is_success else ""

    def create(self, kind: Kind, obj: Object, manager: str, *, dry_run: bool = False) -> Object:
        """POST the object: an error if it is there already."""
        query = {"fieldManager": manager, **({"dryRun": "All"} if dry_run else {})}
        return self._read(self._client.post(kind.path(_namespace(obj)), json=obj, params=query))

    def apply(
        self, kind: Kind, obj: Object, manager: str, *, force: bool = False, dry_run: bool = False
    ) -> Object:
        """Server-side apply the object as `manager`."""
        query = {
            "fieldManager": manager,
            "force": str(force).lower(),
            **({"dryRun": "All"} if dry_run else {}),
        }
        path = kind.path(_namespace(obj), obj["metadata"]["name"])
        return self._read(
            self._client.patch(path, content=json.dumps(obj), params=query, headers={"Content-Type": _APPLY})
        )

    def replace(self, kind: Kind, obj: Object, manager: str, *, dry_run: bool = False) -> Object:
        """PUT the object."""
        query = {"fieldManager": manager, **({"dryRun": "All"} if dry_run else {})}
        return self._read(
            self._client.put(kind.path(_namespace(obj), obj["metadata"]["name"]), json=obj, params=query)
        )

    def patch(self, kind: Kind, obj: Object, operations: list[Object]) -> Object:
        """Apply a JSON patch to the object."""
        path = kind.path(_namespace(obj), obj["metadata"]["name"])
        headers = {"Content-Type": _JSON_PATCH}
        return self._read(self._client.patch(path, content=json.dumps(operations), headers=headers))

    def delete(self, kind: Kind, namespace: str | None, name: str, *, propagation: str, uid: str) -> bool:
        """DELETE the object if it still is the one with `uid`; False when it is gone or another one by now."""
        options: Object = {"propagationPolicy": propagation}
        if uid:
            options["preconditions"] = {"uid": uid}
        answer = self._client.request("DELETE", kind.path(namespace, name), json=options)
        if answer.status_code in (NOT_FOUND, CONFLICT):
            return False
        self._read(answer)
        return True

    def _read(self, answer: httpx.Response) -> Object:
        try:
            body = answer.json()
        except ValueError:
            body = {"message": answer.text[:256]}
        if not answer.is_success:
            raise ApiError(answer.status_code, body)
        return dict(body)


def _namespace(obj: Object) -> str | None:
    namespace = obj["metadata"].get("namespace")
    return None if namespace is None else str(namespace)
