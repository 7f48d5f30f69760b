"""The services layer: migrations and topics, then all processes of the application."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pulumi

from infra.components.observability import TRACES, TRACES_PORT
from infra.components.service import ProgramArgs, ServiceArgs
from infra.components.service.jobs import KubernetesJob, KubernetesJobTemplate
from infra.components.service.kubernetes import KubernetesService
from infra.config_files import kafka, postgres, redis
from infra.names import (
    DATA_NAMESPACE,
    DATABASE,
    KAFKA_ADMIN,
    OBSERVABILITY_NAMESPACE,
    SERVICES,
    SERVICES_NAMESPACE,
    STATEFUL_REPLICAS,
    login_role,
    pod_dns,
    service_dns,
)
from infra.platform_settings import SIMULATOR
from services.contracts.endpoints import HTTP_PORT
from services.contracts.kafka_access import account_name

if TYPE_CHECKING:
    from infra.credentials import Credentials
    from infra.processes import Process
    from infra.stack_settings import StackSettings

MIGRATE = "migrate"
TOPICS = "topics"
REPUBLISH_REQUESTS = "republish-requests"
DEAD_LETTERS = "dlq"
_JOB_CERTIFICATE = "campaigns"
"""Service whose certificate the jobs use; they serve no requests."""


def program(settings: StackSettings) -> None:
    """Declare the layer."""
    jobs = [KubernetesJob(_migrate(settings)), KubernetesJob(_topics(settings))]
    KubernetesJobTemplate(_republish_requests(settings))
    KubernetesJobTemplate(_dead_letters(settings))
    after_jobs = pulumi.ResourceOptions(depends_on=[job.job for job in jobs])
    names = [
        KubernetesService(_process(settings, process), after_jobs).name for process in settings.processes
    ]
    pulumi.export("services", names)
    endpoints = [process.public_endpoint for process in settings.processes if process.public_endpoint]
    pulumi.export("public_endpoints", {endpoint.service: endpoint.node_port for endpoint in endpoints})


def _database_url(settings: StackSettings, service: str, host: str = "postgres") -> str:
    """Return the URL with which a service logs in to the database."""
    credentials = settings.required_credentials
    login = f"{login_role(service, credentials.generation)}:{credentials.postgres.services[service]}"
    address = f"{service_dns(host, DATA_NAMESPACE)}:{postgres.PORT}"
    return f"postgresql+asyncpg://{login}@{address}/{DATABASE}"


def _kafka_environment() -> dict[str, str]:
    return {
        "ESQ_KAFKA_BOOTSTRAP": f"{service_dns('kafka', DATA_NAMESPACE)}:{kafka.CLIENT_PORT}",
        "ESQ_KAFKA_MECHANISM": kafka.MECHANISM,
    }


def _kafka_login(settings: StackSettings, name: str) -> dict[str, str]:
    """Return name and password of an account.

    Both are secret variables: a container that restarts during a rotation gets a pair.
    """
    credentials = settings.required_credentials
    passwords = {KAFKA_ADMIN: credentials.kafka.admin, **credentials.kafka.services}
    return {
        "ESQ_KAFKA_USERNAME": account_name(name, credentials.generation),
        "ESQ_KAFKA_PASSWORD": passwords[name],
    }


def _redis_environment(username: str) -> dict[str, str]:
    hosts = (pod_dns(f"redis-{ordinal}", "redis", DATA_NAMESPACE) for ordinal in range(STATEFUL_REPLICAS))
    return {
        "ESQ_REDIS_SENTINELS": ",".join(f"{host}:{redis.SENTINEL_PORT}" for host in hosts),
        "ESQ_REDIS_MASTER": redis.MASTER_NAME,
        "ESQ_REDIS_USERNAME": username,
    }


def _service_url(service: str) -> str:
    return f"https://{service_dns(service, SERVICES_NAMESPACE)}:{HTTP_PORT}"


def _base_environment(settings: StackSettings, service: str) -> dict[str, str]:
    return {"ESQ_SERVICE": service, "ESQ_ENVIRONMENT": settings.environment}


def _migrate(settings: StackSettings) -> ProgramArgs:
    return ProgramArgs(
        name=MIGRATE,
        namespace=SERVICES_NAMESPACE,
        image=settings.images["services"],
        argv=("-m", "services.kit.jobs.migrate"),
        size=settings.sizes.job,
        settings=_base_environment(settings, MIGRATE),
        secrets={f"ESQ_DATABASE_URL_{name.upper()}": _database_url(settings, name) for name in SERVICES},
        certificate=settings.required_credentials.certificates[_JOB_CERTIFICATE],
        ca_certificate=settings.required_credentials.ca_bundle,
    )


def _topics(settings: StackSettings) -> ProgramArgs:
    return _kafka_admin_job(settings, TOPICS, "services.kit.jobs.topics")


def _dead_letters(settings: StackSettings) -> ProgramArgs:
    return _kafka_admin_job(settings, DEAD_LETTERS, "services.kit.jobs.dlq")


def _kafka_admin_job(settings: StackSettings, name: str, module: str) -> ProgramArgs:
    """Return a job with the account of Kafka's administrator and no other."""
    return ProgramArgs(
        name=name,
        namespace=SERVICES_NAMESPACE,
        image=settings.images["services"],
        argv=("-m", module),
        size=settings.sizes.job,
        settings={**_base_environment(settings, name), **_kafka_environment()},
        secrets=_kafka_login(settings, KAFKA_ADMIN),
        certificate=settings.required_credentials.certificates[_JOB_CERTIFICATE],
        ca_certificate=settings.required_credentials.ca_bundle,
    )


def _republish_requests(settings: StackSettings) -> ProgramArgs:
    """Return the job of the disaster recovery that republishes requests; it has the account of campaigns."""
    credentials = settings.required_credentials
    return ProgramArgs(
        name=REPUBLISH_REQUESTS,
        namespace=SERVICES_NAMESPACE,
        image=settings.images["services"],
        argv=("-m", "services.campaigns.jobs.republish_requests"),
        size=settings.sizes.job,
        settings={
            **_base_environment(settings, "campaigns"),
            "ESQ_CONTACTS_URL": _service_url("contacts-api"),
        },
        secrets={
            "ESQ_DATABASE_URL": _database_url(settings, "campaigns"),
            **_shared_secrets(credentials, "ESQ_TOKEN_KEYS"),
        },
        certificate=credentials.certificates["campaigns"],
        ca_certificate=credentials.ca_bundle,
    )


def _process(settings: StackSettings, process: Process) -> ServiceArgs:
    return ServiceArgs(
        name=process.name,
        namespace=SERVICES_NAMESPACE,
        image=settings.images["services"],
        argv=process.argv,
        size=settings.sizes.service,
        replicas=settings.replicas_of(process),
        zones=settings.zones,
        has_service=process.public_endpoint is not None,
        node_port=process.public_endpoint.node_port if process.public_endpoint else None,
        settings=_environment(settings, process),
        secrets=_secrets(settings, process),
        certificate=settings.required_credentials.certificates[process.service],
        ca_certificate=settings.required_credentials.ca_bundle,
    )


def _environment(settings: StackSettings, process: Process) -> dict[str, str]:
    urls = {
        "campaigns-planner": {"ESQ_CONTACTS_URL": _service_url("contacts-api")},
        "whatsapp-dispatcher": {"ESQ_CLOUD_API_URL": _cloud_api_url(settings)},
        "simulator-api": {"ESQ_WEBHOOK_URL": f"{_service_url('whatsapp-api')}/webhooks/cloud"},
    }
    values = {**_base_environment(settings, process.service), **urls.get(process.name, {})}
    values |= _traces_environment(settings, process) if settings.observability.enabled else {}
    values |= _kafka_environment() if process.kafka else {}
    return values | (_redis_environment(process.service) if process.redis else {})


def _traces_environment(settings: StackSettings, process: Process) -> dict[str, str]:
    return {
        "ESQ_PROCESS": process.name,
        "ESQ_TRACES_ENDPOINT": f"https://{service_dns(TRACES, OBSERVABILITY_NAMESPACE)}:{TRACES_PORT}",
        "ESQ_TRACES_RATIO": str(settings.observability.trace_sample_ratio),
    }


def _cloud_api_url(settings: StackSettings) -> str:
    return _service_url(f"{SIMULATOR}-api") if settings.simulator else settings.cloud_api_url


def _secrets(settings: StackSettings, process: Process) -> dict[str, str]:
    credentials = settings.required_credentials
    values = {"ESQ_DATABASE_URL": _database_url(settings, process.service)}
    if process.process_type == "api":
        values["ESQ_DATABASE_STANDBY_URL"] = _database_url(settings, process.service, "postgres-replica")
    if settings.observability.enabled:
        values["ESQ_TRACES_PASSWORD"] = credentials.observability.password
    if process.kafka:
        values |= _kafka_login(settings, process.service)
    if process.redis:
        values["ESQ_REDIS_PASSWORD"] = credentials.redis.services[process.service]
    return values | _shared_secrets(credentials, *_REQUIRED_SECRETS[process.name])


def _shared_secrets(credentials: Credentials, *names: str) -> dict[str, str]:
    """Return variables with a secret of each accepted generation; the first one is used."""
    generations = [accepted.application for accepted in credentials.accepted]
    secrets = {
        "ESQ_TOKEN_KEYS": [application.token_key for application in generations],
        "ESQ_CLOUD_API_TOKENS": [application.cloud_api_token for application in generations],
        "ESQ_APP_SECRETS": [application.app_secret for application in generations],
        "ESQ_VERIFY_TOKENS": [application.verify_token for application in generations],
    }
    return {name: ",".join(secrets[name]) for name in names}


_REQUIRED_SECRETS = {
    "contacts-api": ("ESQ_TOKEN_KEYS",),
    "campaigns-api": ("ESQ_TOKEN_KEYS",),
    "campaigns-planner": ("ESQ_TOKEN_KEYS",),
    "campaigns-worker": (),
    "whatsapp-api": ("ESQ_TOKEN_KEYS", "ESQ_APP_SECRETS", "ESQ_VERIFY_TOKENS"),
    "whatsapp-worker": (),
    "whatsapp-dispatcher": ("ESQ_CLOUD_API_TOKENS",),
    "whatsapp-webhooks": (),
    "simulator-api": ("ESQ_TOKEN_KEYS", "ESQ_CLOUD_API_TOKENS", "ESQ_APP_SECRETS"),
}
"""Shared secrets of each process."""
