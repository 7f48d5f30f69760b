"""Assigns the zones of the nodes in a Garage cluster, and creates buckets and their keys.

Runs as a Job of the deploy. The zones are those of the Kubernetes nodes on which the pods run. A pod's volume
is bound to its node, so an assigned zone never changes. The program is idempotent and changes only what
differs: a correct layout is left as it is, because applying one moves data.

    layout.py FOLDER

The folder holds `layout.json` with the settings, and the client certificate for the admin API. Mounted into
the pod as a file: it imports the standard library only.
"""

from __future__ import annotations

import itertools
import json
import os
import ssl
import sys
import time
import urllib.error
import urllib.request
from http import HTTPStatus
from pathlib import Path
from typing import Any

TIMEOUT_SECONDS = 10.0
"""Timeout of a request."""
NODES_TIMEOUT_SECONDS = 240.0
"""Timeout until all nodes are connected."""
SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
ZONE_LABEL = "topology.kubernetes.io/zone"


class Garage:
    """The admin API of the first reachable node.

    Args:
        urls: base URL of each node's admin API.
        tokens: admin tokens; a node accepts one of them.
        context: TLS context with the client certificate; None for plain HTTP.
    """

    def __init__(self, urls: list[str], tokens: list[str], context: ssl.SSLContext | None = None) -> None:
        self.urls = urls
        self.tokens = tokens
        self.context = context

    def call(self, name: str, body: object = None) -> Any:  # noqa: ANN401 - JSON
        """Call an operation: POST if there is a body, otherwise GET.

        Args:
            name: name of the operation.
            body: JSON body.

        Returns:
            The JSON of the response.

        Raises:
            OSError: no node is reachable, or the reachable one rejects the request.
        """
        failure: OSError = OSError("no nodes")
        for url, token in itertools.product(self.urls, self.tokens):
            try:
                return self._request(f"{url}/v2/{name}", token, body)
            except urllib.error.HTTPError as error:
                failure = OSError(f"{name}: {error.code} {error.read()[:300].decode()}")
                if error.code != HTTPStatus.FORBIDDEN:
                    # This node answered; another one would answer the same.
                    raise failure from error
            except OSError as error:
                failure = error
        raise failure

    def _request(self, url: str, token: str, body: object) -> Any:  # noqa: ANN401 - JSON
        request = urllib.request.Request(url, method="GET" if body is None else "POST")  # noqa: S310 - own URLs
        request.add_header("Authorization", f"Bearer {token}")
        data = None if body is None else json.dumps(body).encode()
        with urllib.request.urlopen(request, data, TIMEOUT_SECONDS, context=self.context) as response:  # noqa: S310 - same
            return json.loads(response.read() or b"null")


def get_from_kubernetes(path: str) -> Any:  # noqa: ANN401 - JSON
    """Return the response of the API server to a GET with the pod's service account."""
    host, port = os.environ["KUBERNETES_SERVICE_HOST"], os.environ["KUBERNETES_SERVICE_PORT"]
    request = urllib.request.Request(f"https://{host}:{port}{path}")
    request.add_header("Authorization", f"Bearer {(SERVICE_ACCOUNT / 'token').read_text()}")
    context = ssl.create_default_context(cafile=str(SERVICE_ACCOUNT / "ca.crt"))
    with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS, context=context) as response:  # noqa: S310 - same
        return json.loads(response.read())


def zone_of_pod(namespace: str, pod: str) -> str:
    """Return the zone of the node on which a pod runs.

    Args:
        namespace: namespace of the pod.
        pod: name of the pod.

    Raises:
        LookupError: the node has no zone.
    """
    node = get_from_kubernetes(f"/api/v1/namespaces/{namespace}/pods/{pod}")["spec"]["nodeName"]
    labels: dict[str, str] = get_from_kubernetes(f"/api/v1/nodes/{node}")["metadata"].get("labels", {})
    if ZONE_LABEL not in labels:
        raise LookupError(f"the node {node} of {pod} has no label {ZONE_LABEL}; add it, then deploy again")
    return labels[ZONE_LABEL]


def role_changes(
    layout: dict[str, Any], desired_zones: dict[str, str], capacity: int
) -> list[dict[str, object]]:
    """Return the changes that assign each node its zone; none if the layout is correct.

    Args:
        layout: current layout.
        desired_zones: zone by node id.
        capacity: capacity of a node in bytes.
    """
    zones = {role["id"]: role["zone"] for role in layout["roles"]}
    changes: list[dict[str, object]] = [
        {"id": node, "zone": zone, "capacity": capacity, "tags": []}
        for node, zone in desired_zones.items()
        if zones.get(node) != zone
    ]
    return changes + [{"id": node, "remove": True} for node in zones if node not in desired_zones]


def wait_for_nodes(garage: Garage, node_ids: set[str], deadline: float) -> None:
    """Wait until a node reports all nodes as up.

    Args:
        garage: the admin API.
        node_ids: ids of all nodes.
        deadline: deadline in monotonic seconds.

    Raises:
        TimeoutError: the deadline has passed; the message names the missing nodes.
    """
    missing, reason = node_ids, ""
    while time.monotonic() < deadline:
        try:
            nodes = garage.call("GetClusterStatus")["nodes"]
            missing = node_ids - {node["id"] for node in nodes if node["isUp"]}
        except OSError as error:
            reason = str(error)
        if not missing:
            return
        time.sleep(1)
    raise TimeoutError(f"unreachable nodes: {sorted(missing)} {reason}")


def apply_layout(garage: Garage, desired_zones: dict[str, str], capacity: int) -> str:
    """Assign each node its zone.

    Args:
        garage: the admin API.
        desired_zones: zone by node id.
        capacity: capacity of a node in bytes.

    Returns:
        The result as a sentence.
    """
    layout = garage.call("GetClusterLayout")
    changes = role_changes(layout, desired_zones, capacity)
    if not changes:
        return f"layout {layout['version']} is up to date"
    version = layout["version"] + 1
    garage.call("UpdateClusterLayout", {"roles": changes, "parameters": {"zoneRedundancy": "maximum"}})
    garage.call("ApplyClusterLayout", {"version": version})
    return f"layout {version} applied: {desired_zones}"


def ensure_bucket(garage: Garage, bucket: str, keys: dict[str, str]) -> str:
    """Import missing keys, create a missing bucket, grant access, and delete keys that are not accepted.

    Args:
        garage: the admin API.
        bucket: name of the bucket, and of its keys.
        keys: secret key by access key: all that may use the bucket.

    Returns:
        The result as a sentence.
    """
    actions = []
    imported = {key["id"]: key["name"] for key in garage.call("ListKeys")}
    for key_id in keys.keys() - imported.keys():
        garage.call("ImportKey", {"accessKeyId": key_id, "secretAccessKey": keys[key_id], "name": bucket})
        actions.append("key imported")
    buckets = {alias: entry["id"] for entry in garage.call("ListBuckets") for alias in entry["globalAliases"]}
    if bucket not in buckets:
        buckets[bucket] = garage.call("CreateBucket", {"globalAlias": bucket})["id"]
        actions.append("bucket created")
    permissions = {"read": True, "write": True, "owner": False}
    for key_id in keys:
        grant = {"bucketId": buckets[bucket], "accessKeyId": key_id, "permissions": permissions}
        garage.call("AllowBucketKey", grant)
    for key_id, name in imported.items():
        if name == bucket and key_id not in keys:
            garage.call(f"DeleteKey?id={key_id}", {})
            actions.append("key deleted")
    return f"{bucket}: {', '.join(actions) or 'up to date'}"


def client_context(folder: Path) -> ssl.SSLContext:
    """Return the TLS context with the client certificate and the trusted authorities of a folder."""
    context = ssl.create_default_context(cafile=str(folder / "ca.crt"))
    context.load_cert_chain(folder / "tls.crt", folder / "tls.key")
    return context


def main(folder: Path) -> None:
    """Wait for the nodes, then apply layout, keys and buckets as declared in a folder."""
    settings = json.loads((folder / "layout.json").read_text())
    garage = Garage(settings["urls"], settings["admin_tokens"], client_context(folder))
    nodes = settings["nodes"]
    wait_for_nodes(garage, set(nodes.values()), time.monotonic() + NODES_TIMEOUT_SECONDS)
    desired_zones = {node_id: zone_of_pod(settings["namespace"], pod) for pod, node_id in nodes.items()}
    sys.stdout.write(apply_layout(garage, desired_zones, settings["capacity"]) + "\n")
    for bucket, keys in settings["buckets"].items():
        sys.stdout.write(ensure_bucket(garage, bucket, keys) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
