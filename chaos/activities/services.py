"""Actions on what services stand on: a Redis emptied, a password that is wrong, a certificate that has ended.

The values that a Secret had are kept in the cluster (`chaos.secrets`); the journal holds none.
"""

from __future__ import annotations

import base64
import datetime as dt
import json
import sys

from chaos.context import current
from chaos.faults import Fault
from infra.authority import CERTIFICATE_LIFE, issue
from infra.names import CERTIFICATE_NAMES, DATA_NAMESPACE, SERVICES_NAMESPACE

__all__ = ["end_certificate", "flush_redis", "use_wrong_password"]

_FLUSH = "redis-cli -e --tls --cacert /etc/esq/tls/ca.crt -p 6379 flushall"


def flush_redis() -> str:
    """Empty Redis (FLUSHALL on the primary). Nothing undoes it: it holds only what can be rebuilt."""
    target = current().target
    place = target.place("redis-primary")
    kubectl = ("kubectl", f"--kubeconfig={target.kubeconfig}", f"--namespace={DATA_NAMESPACE}")
    command = (*kubectl, "exec", place.pod, "--container=redis", "--", *_FLUSH.split())
    current().inject(Fault(kind="redis-flush", target=str(place), inject=(command,)))
    return place.pod


def use_wrong_password(deployment: str, seconds: float) -> str:
    """Give a pod of a deployment a database password that is wrong, for some seconds.

    The Secret is changed and one pod is replaced, as by a rollout that goes wrong at its first step.

    Args:
        deployment: e.g. `contacts-api`.
        seconds: for how long.
    """
    key = "ESQ_DATABASE_URL"
    secret = current().target.core().read_namespaced_secret(deployment, SERVICES_NAMESPACE)
    url = base64.b64decode(secret.data[key]).decode()
    account, _, rest = url.rpartition("@")
    wrong = f"{account.rpartition(':')[0]}:wrong@{rest}"
    return _swap(deployment, deployment, {key: wrong}, "wrong-password", seconds)


def end_certificate(deployment: str, seconds: float) -> str:
    """Give a pod of a deployment a certificate that has ended, for some seconds.

    Args:
        deployment: e.g. `contacts-api`.
        seconds: for how long.
    """
    service = deployment.partition("-")[0]
    long_ago = dt.datetime.now(dt.UTC) - 2 * CERTIFICATE_LIFE
    authority = current().target.credentials.authority
    pair = issue(authority, service, CERTIFICATE_NAMES[service], now=long_ago)
    files = {"tls.crt": pair.certificate, "tls.key": pair.key}
    return _swap(deployment, f"{deployment}-tls", files, "certificate-ended", seconds)


def _swap(deployment: str, secret: str, values: dict[str, str], kind: str, seconds: float) -> str:
    where = (str(current().target.kubeconfig), SERVICES_NAMESPACE, deployment, secret)
    program = (sys.executable, "-m", "chaos.secrets")
    fault = Fault(
        kind=kind,
        target=deployment,
        inject=((*program, "swap", *where, json.dumps(values)),),
        undo=((*program, "restore", *where),),
    )
    current().inject(fault)
    current().hold(seconds, f"{deployment}: {kind}")
    current().undo()
    return deployment
