"""Actions on dependencies of services: empty Redis, invalid password, expired certificate.

The original values of a Secret are stored in the cluster (`chaos.secret_swap`), the new ones in a file that
the command deletes: arguments, journal and report contain none.
"""

from __future__ import annotations

import base64
import datetime as dt
import json
import tempfile
from pathlib import Path

from chaos.context import current
from chaos.faults import Fault
from infra.certificate_authority import CERTIFICATE_LIFETIME, issue_certificate
from infra.names import CERTIFICATE_NAMES, DATA_NAMESPACE, SERVICES_NAMESPACE
from infra.subprocesses import PYTHON_MODULE

__all__ = ["expire_certificate", "flush_redis", "use_invalid_password"]

_FLUSH = (
    # The administrator's password is a file in the pod, so that no argument contains it.
    "REDISCLI_AUTH=$(cat /etc/esq/tls/admin) exec"
    " redis-cli -e --user admin --tls --cacert /etc/esq/tls/ca.crt -p 6379 flushall"
)


def flush_redis() -> str:
    """Empty Redis (FLUSHALL on the primary). There is no undo: Redis holds only data that can be rebuilt.

    Returns:
        The name of the pod.
    """
    target = current().target
    location = target.resolve_pod("redis-primary")
    kubectl = ("kubectl", f"--kubeconfig={target.kubeconfig}", f"--namespace={DATA_NAMESPACE}")
    command = (*kubectl, "exec", location.pod, "--container=redis", "--", "sh", "-c", _FLUSH)
    current().inject(Fault(kind="redis-flush", target=str(location), inject=(command,)))
    return location.pod


def use_invalid_password(deployment: str) -> str:
    """Give a pod of a Deployment an invalid database password.

    The Secret is changed and one pod is replaced, as by a rollout that fails at its first step.

    Args:
        deployment: name of the Deployment, for example `contacts-api`.

    Returns:
        The name of the Deployment.
    """
    key = "ESQ_DATABASE_URL"
    secret = current().target.core_api().read_namespaced_secret(deployment, SERVICES_NAMESPACE)
    url = base64.b64decode(secret.data[key]).decode()
    account, _, host_part = url.rpartition("@")
    invalid_url = f"{account.rpartition(':')[0]}:wrong@{host_part}"
    return _swap_secret(deployment, deployment, {key: invalid_url}, "invalid-password")


def expire_certificate(deployment: str) -> str:
    """Give a pod of a Deployment an expired certificate.

    Args:
        deployment: name of the Deployment, for example `contacts-api`.

    Returns:
        The name of the Deployment.
    """
    service = deployment.partition("-")[0]
    issued_at = dt.datetime.now(dt.UTC) - 2 * CERTIFICATE_LIFETIME
    ca = current().target.credentials.ca
    key_pair = issue_certificate(ca, service, CERTIFICATE_NAMES[service], now=issued_at)
    files = {"tls.crt": key_pair.certificate, "tls.key": key_pair.key}
    return _swap_secret(deployment, f"{deployment}-tls", files, "certificate-expired")


def _swap_secret(deployment: str, secret: str, values: dict[str, str], kind: str) -> str:
    address = (str(current().target.kubeconfig), SERVICES_NAMESPACE, deployment, secret)
    program = (*PYTHON_MODULE, "chaos.secret_swap")
    with tempfile.TemporaryDirectory(prefix="esq-secret-") as folder:  # readable by the owner only
        values_file = Path(folder, "values.json")
        values_file.touch(mode=0o600)
        values_file.write_text(json.dumps(values), encoding="utf-8")
        fault = Fault(
            kind=kind,
            target=deployment,
            inject=((*program, "swap", *address, str(values_file)),),
            # A tool that is killed leaves the folder.
            undo=(("rm", "-rf", folder), (*program, "restore", *address)),
        )
        current().inject(fault)
    return deployment
