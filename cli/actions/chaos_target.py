"""Open an environment for experiments: access, endpoints of the clients, and the commands they use."""

from __future__ import annotations

import datetime as dt
from functools import partial
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from chaos.safety import require_confirmation
from chaos.target import Target
from chaos.traffic.client import Endpoints
from cli.actions import health
from cli.actions.deployment_target import open_deployed_target
from cli.actions.environment_context import EnvironmentContext
from cli.actions.stack_config import load_credentials
from cli.environment_lease import EnvironmentLease
from infra.config_files import garage, kafka, postgres, redis
from infra.errors import EsqError
from infra.kubernetes import api_client
from infra.names import (
    DATA_NAMESPACE,
    DATABASE,
    KAFKA_ADMIN,
    MEDIA_BUCKET,
    PROBE_ROLE,
    STATEFUL_REPLICAS,
    login_role,
    pod_dns,
    service_dns,
)
from infra.subprocesses import PYTHON_MODULE
from services.contracts.kafka_access import account_name

if TYPE_CHECKING:
    from pathlib import Path

    from cli.actions.deployment_target import DeploymentTarget
    from cli.environment import Environment
    from infra.credentials import Credentials
    from infra.progress import ProgressReporter

_TEMPLATE_TEXT = "Olá {name}, até já."
_FIRST_NUMBER = 119_7000_0000


def chaos_dir(environment: Environment) -> Path:
    """Return the folder of the journals and reports of an environment."""
    return environment.folder / "chaos"


def open_experiment_target(
    environment: Environment, confirmed_name: str | None, progress: ProgressReporter
) -> Target:
    """Open an environment for experiments; nothing in it is changed.

    Args:
        environment: the environment.
        confirmed_name: name of the environment as confirmation, required unless its cluster is embedded.
        progress: receives the steps.

    Returns:
        The target of the experiments.

    Raises:
        EsqError: the environment was not deployed from this host.
        UsageError: the confirmation is missing.
    """
    target = open_deployed_target(environment, progress)
    require_confirmation(environment.name, confirmed_name, is_embedded=is_embedded(target))
    access = load_credentials(target.engine())
    return Target(
        environment=environment.name,
        folder=chaos_dir(environment),
        kubeconfig=target.kubeconfig,
        cluster=target.cluster,
        credentials=access,
        find_problems=lambda: _health_problems(target),
        open_context=partial(EnvironmentContext, target),
        endpoints=partial(_endpoints, target, access),
        campaign_command=partial(_campaign_command, environment),
        rotation_command=_rotation_command(environment),
        read_token_key=lambda: load_credentials(target.engine()).application.token_key,
        exclude_other_machines=partial(_lease, environment, target.kubeconfig),
    )


def _lease(environment: Environment, kubeconfig: Path, experiment: str) -> EnvironmentLease:
    """Return the Lease of experiments. Not that of deploys, which an experiment may run itself.

    Args:
        environment: the environment; no other one has a name with a dot.
        kubeconfig: its cluster.
        experiment: name of the experiment, for messages.
    """
    return EnvironmentLease(kubeconfig, f"{environment.name}.chaos", f"experiment {experiment}")


def is_embedded(target: DeploymentTarget) -> bool:
    """Return whether commands reach the embedded cluster: its kubeconfig names the address of its zones.

    The name of the environment proves nothing, since its kubeconfig may have been replaced.
    """
    if target.cluster is None:
        return False
    host = urlsplit(api_client(target.kubeconfig).configuration.host).hostname
    return bool(host == str(target.cluster.spec.control))


def _health_problems(target: DeploymentTarget) -> list[str]:
    """Return the problems of all components; an unreachable cluster is one of them."""
    try:
        return health.collect_health(target).problems
    except EsqError as error:
        return [error.message]


def _endpoints(target: DeploymentTarget, access: Credentials, run_name: str) -> Endpoints:
    """Return the endpoints and credentials for the clients of a run."""
    edge_ca_certificate = target.edge_ca.read_text() if target.edge_ca is not None else ""
    sentinels = (pod_dns(f"redis-{number}", "redis", DATA_NAMESPACE) for number in range(STATEFUL_REPLICAS))
    return Endpoints(
        run_name=run_name,
        ca_certificate=access.ca_bundle,
        edge_url=target.address,
        edge_ca_certificate=edge_ca_certificate,
        token_key=access.application.token_key,
        postgres={
            "host": service_dns("postgres", DATA_NAMESPACE),
            "port": str(postgres.PORT),
            "user": login_role(PROBE_ROLE, access.generation),
            "password": access.postgres.probe,
            "database": DATABASE,
        },
        kafka={
            "bootstrap": f"{service_dns('kafka', DATA_NAMESPACE)}:{kafka.CLIENT_PORT}",
            "mechanism": kafka.MECHANISM,
            "user": account_name(KAFKA_ADMIN, access.generation),
            "password": access.kafka.admin,
        },
        redis={
            "sentinels": ",".join(f"{host}:{redis.SENTINEL_PORT}" for host in sentinels),
            "master": redis.MASTER_NAME,
            "user": redis.ADMIN,
            "password": access.redis.admin,
        },
        object_store={
            "url": f"https://{service_dns('object-store', DATA_NAMESPACE)}:{garage.S3_PORT}",
            "region": garage.REGION,
            "bucket": MEDIA_BUCKET,
            "key_id": access.object_store.media_key_id,
            "key_secret": access.object_store.media_key_secret,
        },
    )


def _rotation_command(environment: Environment) -> tuple[str, ...]:
    """Return the command that replaces all credentials."""
    return (*PYTHON_MODULE, "cli.main", "credentials", "rotate", environment.name, "--yes", "--json")


def _campaign_command(environment: Environment, contacts: str) -> list[str]:
    """Return the command that sends a new campaign to this number of generated contacts.

    All runs use the same contacts on one list per number of contacts, so that runs do not add to them.
    """
    stamp = dt.datetime.now(dt.UTC).strftime("%H%M%S%f")
    folder = chaos_dir(environment) / "campaign"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    file = folder / f"chaos-{contacts}.csv"
    rows = "\n".join(f"Contato {n},{_FIRST_NUMBER + n}" for n in range(int(contacts)))
    file.write_text(f"name,phone\n{rows}\n", encoding="utf-8")
    (folder / "text.txt").write_text(f"{_TEMPLATE_TEXT} ({stamp})", encoding="utf-8")
    return [
        *(*PYTHON_MODULE, "cli.main", "campaign", "send", environment.name, "--json"),
        *("--company", "chaos", "--contacts", str(file)),
        *("--template", str(folder / "text.txt")),
    ]
