"""Tells a Garage cluster which node is in which zone, and makes keys and buckets.

Runs as a Job of the deploy. Zones are those of the Kubernetes nodes that the pods run on; a pod's volume is
bound to its node, so once assigned they stay. Only what differs is changed: a layout that is right is left
alone, for applying one moves data; so it may be run again and again.

Shipped into the pod as a file: the standard library only.
"""

from __future__ import annotations

import json
import os
import ssl
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

TIMEOUT = 10.0
"""Seconds for one answer."""
DEADLINE = 240.0
"""Seconds until all nodes have to know each other."""
ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
ZONE_LABEL = "topology.kubernetes.io/zone"


class Garage:
    """The admin API of the first node that answers."""

    def __init__(self, urls: list[str], token: str) -> None:
        self.urls = urls
        self.token = token

    def call(self, name: str, body: object = None) -> Any:  # noqa: ANN401 - JSON
        """Call an operation; with a body by POST, else by GET.

        Raises:
            OSError: no node answers, or the one that does refuses.
        """
        failure: OSError = OSError("no nodes")
        for url in self.urls:
            address, method = f"{url}/v2/{name}", "GET" if body is None else "POST"
            request = urllib.request.Request(address, method=method)  # noqa: S310 - http inside the cluster
            request.add_header("Authorization", f"Bearer {self.token}")
            data = None if body is None else json.dumps(body).encode()
            try:
                with urllib.request.urlopen(request, data, TIMEOUT) as answer:  # noqa: S310 - same
                    return json.loads(answer.read() or b"null")
            except urllib.error.HTTPError as error:
                # This node answered; another one would say the same.
                raise OSError(f"{name}: {error.code} {error.read()[:300].decode()}") from error
            except OSError as error:
                failure = error
        raise failure


def kubernetes(path: str) -> Any:  # noqa: ANN401 - JSON
    """Read `path` from the API server with the pod's own account."""
    host, port = os.environ["KUBERNETES_SERVICE_HOST"], os.environ["KUBERNETES_SERVICE_PORT"]
    request = urllib.request.Request(f"https://{host}:{port}{path}")
    request.add_header("Authorization", f"Bearer {(ACCOUNT / 'token').read_text()}")
    context = ssl.create_default_context(cafile=str(ACCOUNT / "ca.crt"))
    with urllib.request.urlopen(request, timeout=TIMEOUT, context=context) as answer:  # noqa: S310 - same
        return json.loads(answer.read())


def zone_of(namespace: str, pod: str) -> str:
    """Return the zone of the node that `pod` runs on."""
    node = kubernetes(f"/api/v1/namespaces/{namespace}/pods/{pod}")["spec"]["nodeName"]
    zone: str = kubernetes(f"/api/v1/nodes/{node}")["metadata"]["labels"][ZONE_LABEL]
    return zone


def role_changes(layout: dict[str, Any], wanted: dict[str, str], capacity: int) -> list[dict[str, object]]:
    """Return what gives each node of `wanted` (zone by id) its zone in `layout`; nothing when it has it."""
    now = {role["id"]: role["zone"] for role in layout["roles"]}
    changes: list[dict[str, object]] = [
        {"id": node, "zone": zone, "capacity": capacity, "tags": []}
        for node, zone in wanted.items()
        if now.get(node) != zone
    ]
    return changes + [{"id": node, "remove": True} for node in now if node not in wanted]


def wait_for_nodes(garage: Garage, wanted: set[str], deadline: float) -> None:
    """Return when all `wanted` node ids are up in the eyes of one of them.

    Raises:
        TimeoutError: `deadline` (monotonic seconds) has passed; the message names who is missing.
    """
    missing, reason = wanted, ""
    while time.monotonic() < deadline:
        try:
            nodes = garage.call("GetClusterStatus")["nodes"]
            missing = wanted - {node["id"] for node in nodes if node["isUp"]}
        except OSError as error:
            reason = str(error)
        if not missing:
            return
        time.sleep(1)
    raise TimeoutError(f"nodes that do not answer: {sorted(missing)} {reason}")


def lay_out(garage: Garage, wanted: dict[str, str], capacity: int) -> str:
    """Give each node its zone. Return what was done, as a sentence."""
    layout = garage.call("GetClusterLayout")
    changes = role_changes(layout, wanted, capacity)
    if not changes:
        return f"layout {layout['version']} is right"
    version = layout["version"] + 1
    garage.call("UpdateClusterLayout", {"roles": changes, "parameters": {"zoneRedundancy": "maximum"}})
    garage.call("ApplyClusterLayout", {"version": version})
    return f"layout {version} applied: {wanted}"


def make_bucket(garage: Garage, bucket: str, key_id: str, key_secret: str) -> str:
    """Import the key, make the bucket, let the one use the other, where missing. Return a sentence."""
    done = []
    if key_id not in {key["id"] for key in garage.call("ListKeys")}:
        key = {"accessKeyId": key_id, "secretAccessKey": key_secret, "name": bucket}
        garage.call("ImportKey", key)
        done.append("key imported")
    found = {alias: each["id"] for each in garage.call("ListBuckets") for alias in each["globalAliases"]}
    if bucket not in found:
        found[bucket] = garage.call("CreateBucket", {"globalAlias": bucket})["id"]
        done.append("bucket made")
    rights = {"read": True, "write": True, "owner": False}
    allow = {"bucketId": found[bucket], "accessKeyId": key_id, "permissions": rights}
    garage.call("AllowBucketKey", allow)
    return f"{bucket}: {', '.join(done) or 'as it should be'}"


def main(environment: dict[str, str]) -> None:
    """Wait for the nodes, then bring layout, keys and buckets to what they should be."""
    namespace = environment["ESQ_NAMESPACE"]
    ids = dict(pair.split("=") for pair in environment["ESQ_NODES"].split(","))
    garage = Garage(environment["ESQ_URLS"].split(","), environment["ESQ_ADMIN_TOKEN"])
    wait_for_nodes(garage, set(ids.values()), time.monotonic() + DEADLINE)
    wanted = {identity: zone_of(namespace, pod) for pod, identity in ids.items()}
    sys.stdout.write(lay_out(garage, wanted, int(environment["ESQ_CAPACITY"])) + "\n")
    for number, bucket in enumerate(environment["ESQ_BUCKETS"].split(",")):
        key_id, key_secret = environment[f"ESQ_KEY_ID_{number}"], environment[f"ESQ_KEY_SECRET_{number}"]
        sys.stdout.write(make_bucket(garage, bucket, key_id, key_secret) + "\n")


if __name__ == "__main__":
    main(dict(os.environ))
