"""Objects of a run in a cluster: the master's Job owns all others, so that its deletion removes them. Pure.

Locust's protocol has no authentication, and who reaches the master's port takes part in the run. A
NetworkPolicy admits the workers of the run only, where the cluster enforces policies.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from infra.names import NAME_LABEL, SERVICES_NAMESPACE
from loadtests.master_messages import RESULT_TIMEOUT_SECONDS, SPAWN_TIMEOUT_SECONDS
from loadtests.protocol import CONFIG_VARIABLE, LoadConfig
from loadtests.scenarios import FOLDER, locustfile

if TYPE_CHECKING:
    from loadtests.protocol import LoadProfile, LoadTarget

RUN_LABEL, ROLE_LABEL, SCENARIO_LABEL = "esq/load-test", "esq/load-role", "esq/load-scenario"
MASTER, WORKER = "master", "worker"
CONTAINER = "locust"
PORT = 5557
START_TIMEOUT_SECONDS = 300
"""Until all workers are connected: their nodes pull the image first."""
CONFIG_FOLDER = "/etc/esq/load"
CONFIG_KEY, CA_KEY = "load.json", "ca.crt"
APPLICATION_FOLDER = "/opt/esq/app"
"""Folder of the locustfiles in the image."""
_MARGIN_SECONDS = 60
_DELETE_AFTER_SECONDS = 300
"""For the objects of a run whose tool was killed, its tokens among them."""
_GRACE_SECONDS = 5
_USER = 1000


@dataclass(frozen=True)
class ClusterRun:
    """A run to create.

    Attributes:
        name: name of its objects.
        image: image of the load generators.
        scenario: name of the scenario.
        profile: load profile of all workers together, in arrivals.
        workers: number of workers.
    """

    name: str
    image: str
    scenario: str
    profile: LoadProfile
    workers: int

    @property
    def labels(self) -> dict[str, str]:
        """Labels of all its objects; not those of the platform, whose faults must not disturb the test."""
        return {NAME_LABEL: "load-generator", RUN_LABEL: self.name, SCENARIO_LABEL: self.scenario}

    @property
    def worker_name(self) -> str:
        """Name of the workers' Job."""
        return f"{self.name}-workers"

    @property
    def max_seconds(self) -> int:
        """Limit of its Jobs, which end also when nobody waits for them any more."""
        waits = START_TIMEOUT_SECONDS + SPAWN_TIMEOUT_SECONDS + RESULT_TIMEOUT_SECONDS + _MARGIN_SECONDS
        return int(self.profile.duration_seconds + waits)


def master_job(run: ClusterRun) -> dict[str, Any]:
    """Return the Job of the master. Its pod waits for the Secret."""
    options = (
        *("--master", "--headless", "--json-messages", "--master-bind-host", "0.0.0.0"),  # noqa: S104 - see module
        *("--master-bind-port", str(PORT), "--expect-workers", str(run.workers)),
        *("--expect-workers-max-wait", str(START_TIMEOUT_SECONDS)),
    )
    return _job(run, run.name, MASTER, options)


def worker_job(run: ClusterRun, owner_uid: str) -> dict[str, Any]:
    """Return the Job of the workers.

    Args:
        run: the run.
        owner_uid: uid of the master's Job.
    """
    options = ("--worker", "--master-host", run.name, "--master-port", str(PORT))
    job = _job(run, run.worker_name, WORKER, options)
    job["metadata"]["ownerReferences"] = _owner(run, owner_uid)
    job["spec"] |= {"parallelism": run.workers, "completions": run.workers}
    return job


def master_service(run: ClusterRun, owner_uid: str) -> dict[str, Any]:
    """Return the Service by which the workers find the master.

    Args:
        run: the run.
        owner_uid: uid of the master's Job.
    """
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": _metadata(run, owner_uid),
        "spec": {
            "clusterIP": "None",
            "selector": {RUN_LABEL: run.name, ROLE_LABEL: MASTER},
            "ports": [{"name": "locust", "port": PORT}],
            "publishNotReadyAddresses": True,
        },
    }


def network_policy(run: ClusterRun, owner_uid: str) -> dict[str, Any]:
    """Return the policy that admits the workers, and nobody else, to the master.

    Args:
        run: the run.
        owner_uid: uid of the master's Job.
    """
    workers = {"podSelector": {"matchLabels": {RUN_LABEL: run.name, ROLE_LABEL: WORKER}}}
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": _metadata(run, owner_uid),
        "spec": {
            "podSelector": {"matchLabels": {RUN_LABEL: run.name}},
            "policyTypes": ["Ingress"],
            "ingress": [{"from": [workers], "ports": [{"port": PORT, "protocol": "TCP"}]}],
        },
    }


def config_secret(run: ClusterRun, owner_uid: str, target: LoadTarget, ca: str | None) -> dict[str, Any]:
    """Return the Secret with the configuration of master and workers.

    Args:
        run: the run.
        owner_uid: uid of the master's Job.
        target: where requests are sent.
        ca: PEM of the CA of the edge; None for the CAs of the image.
    """
    data = secret_data(run.profile, target, ca)
    metadata = _metadata(run, owner_uid)
    return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": data}


def secret_data(profile: LoadProfile, target: LoadTarget, ca: str | None) -> dict[str, str]:
    """Return the content of the Secret.

    Args:
        profile: load profile in arrivals.
        target: where requests are sent.
        ca: PEM of the CA of the edge; None for the CAs of the image.
    """
    in_pod = target.model_copy(update={"ca_file": f"{CONFIG_FOLDER}/{CA_KEY}" if ca else None})
    config = LoadConfig(profile=profile, target=in_pod).model_dump_json()
    return {CONFIG_KEY: config, **({CA_KEY: ca} if ca else {})}


def _metadata(run: ClusterRun, owner_uid: str) -> dict[str, Any]:
    return {
        "name": run.name,
        "namespace": SERVICES_NAMESPACE,
        "labels": run.labels,
        "ownerReferences": _owner(run, owner_uid),
    }


def _owner(run: ClusterRun, uid: str) -> list[dict[str, Any]]:
    job = {"apiVersion": "batch/v1", "kind": "Job", "name": run.name, "uid": uid}
    return [{**job, "blockOwnerDeletion": True}]


def _job(run: ClusterRun, name: str, role: str, options: tuple[str, ...]) -> dict[str, Any]:
    labels = {**run.labels, ROLE_LABEL: role}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name, "namespace": SERVICES_NAMESPACE, "labels": labels},
        "spec": {
            "backoffLimit": 0,
            "activeDeadlineSeconds": run.max_seconds,
            "ttlSecondsAfterFinished": _DELETE_AFTER_SECONDS,
            "template": {"metadata": {"labels": labels}, "spec": _pod(run, options)},
        },
    }


def _pod(run: ClusterRun, options: tuple[str, ...]) -> dict[str, Any]:
    return {
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": _GRACE_SECONDS,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": _USER,
            "fsGroup": _USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [_container(run, options)],
        "volumes": [
            {"name": "config", "secret": {"secretName": run.name, "defaultMode": 0o440}},
            {"name": "tmp", "emptyDir": {"sizeLimit": "16Mi"}},
        ],
    }


def _container(run: ClusterRun, options: tuple[str, ...]) -> dict[str, Any]:
    file = f"{APPLICATION_FOLDER}/{locustfile(run.scenario).relative_to(FOLDER.parent)}"
    return {
        "name": CONTAINER,
        "image": run.image,
        "command": ["python3", "-P", "-m", "locust", "--skip-log-setup", "--locustfile", file, *options],
        "env": [
            {"name": CONFIG_VARIABLE, "value": f"{CONFIG_FOLDER}/{CONFIG_KEY}"},
            {"name": "HOME", "value": "/tmp"},  # noqa: S108 - the pod's own
        ],
        # No limit of CPU: a throttled generator is late, and measures itself.
        "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"memory": "512Mi"}},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [
            {"name": "config", "mountPath": CONFIG_FOLDER, "readOnly": True},
            {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108 - the pod's own
        ],
    }
