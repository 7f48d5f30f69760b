"""The services layer: migrations and topics first, then every process of the application."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pulumi

from infra.components.service import ProgramArgs, ServiceArgs
from infra.components.service.jobs import KubernetesJob, KubernetesTemplate
from infra.components.service.kubernetes import KubernetesService
from infra.names import (
    ADMIN_ROLE,
    DATA_NAMESPACE,
    DATABASE,
    KAFKA_ADMIN,
    SERVICES_NAMESPACE,
    STATEFUL_REPLICAS,
    pod_dns,
    service_dns,
)
from infra.processes import PROCESSES, REPLICAS
from infra.render import kafka, postgres, redis
from services.contracts.ports import FACES, HTTP_PORT

if TYPE_CHECKING:
    from infra.config import StackSettings
    from infra.processes import Process

MIGRATE = "migrate"
TOPICS = "topics"
REPUBLISH_REQUESTS = "republish-requests"
DEAD_LETTERS = "dlq"
_PROVED_BY = "campaigns"
"""The service whose certificate the jobs carry; nobody calls them."""


def program(settings: StackSettings) -> None:
    """Declare the layer."""
    jobs = [KubernetesJob(_migrate(settings)), KubernetesJob(_topics(settings))]
    KubernetesTemplate(_republish_requests(settings))
    KubernetesTemplate(_dead_letters(settings))
    after = pulumi.ResourceOptions(depends_on=[each.job for each in jobs])
    names = [KubernetesService(_process(settings, process), after).name for process in PROCESSES]
    pulumi.export("services", names)
    pulumi.export("faces", {face.service: face.node_port for face in FACES})


def _database(role: str, password: str, service: str = "postgres") -> str:
    host = service_dns(service, DATA_NAMESPACE)
    return f"postgresql+asyncpg://{role}:{password}@{host}:{postgres.PORT}/{DATABASE}"


def _kafka(username: str) -> dict[str, str]:
    return {
        "ESQ_KAFKA_BOOTSTRAP": f"{service_dns('kafka', DATA_NAMESPACE)}:{kafka.CLIENT_PORT}",
        "ESQ_KAFKA_MECHANISM": kafka.MECHANISM,
        "ESQ_KAFKA_USERNAME": username,
    }


def _redis() -> dict[str, str]:
    hosts = (pod_dns(f"redis-{ordinal}", "redis", DATA_NAMESPACE) for ordinal in range(STATEFUL_REPLICAS))
    return {
        "ESQ_REDIS_SENTINELS": ",".join(f"{host}:{redis.SENTINEL_PORT}" for host in hosts),
        "ESQ_REDIS_MASTER": redis.MASTER,
    }


def _url(service: str) -> str:
    return f"https://{service_dns(service, SERVICES_NAMESPACE)}:{HTTP_PORT}"


def _base(settings: StackSettings, service: str) -> dict[str, str]:
    return {"ESQ_SERVICE": service, "ESQ_ENVIRONMENT": settings.environment}


def _migrate(settings: StackSettings) -> ProgramArgs:
    accounts = settings.secrets.postgres
    passwords = {f"ESQ_PASSWORD_{name.upper()}": value for name, value in accounts.services.items()}
    return ProgramArgs(
        name=MIGRATE,
        namespace=SERVICES_NAMESPACE,
        image=settings.images["services"],
        argv=("-m", "services.kit.entrypoints.migrate"),
        size=settings.sizes.job,
        settings=_base(settings, MIGRATE),
        secrets={"ESQ_ADMIN_DATABASE_URL": _database(ADMIN_ROLE, accounts.admin), **passwords},
        certificate=settings.secrets.certificates[_PROVED_BY],
        authority=settings.secrets.authority.certificate,
    )


def _topics(settings: StackSettings) -> ProgramArgs:
    return _on_kafka(settings, TOPICS, "services.kit.entrypoints.topics")


def _dead_letters(settings: StackSettings) -> ProgramArgs:
    return _on_kafka(settings, DEAD_LETTERS, "services.kit.entrypoints.dlq")


def _on_kafka(settings: StackSettings, name: str, module: str) -> ProgramArgs:
    """Return a job that is Kafka's administrator and nobody else."""
    return ProgramArgs(
        name=name,
        namespace=SERVICES_NAMESPACE,
        image=settings.images["services"],
        argv=("-m", module),
        size=settings.sizes.job,
        settings={**_base(settings, name), **_kafka(KAFKA_ADMIN)},
        secrets={"ESQ_KAFKA_PASSWORD": settings.secrets.kafka.admin},
        certificate=settings.secrets.certificates[_PROVED_BY],
        authority=settings.secrets.authority.certificate,
    )


def _republish_requests(settings: StackSettings) -> ProgramArgs:
    """Return the job of the disaster recovery that republishes requests; it has the account of campaigns."""
    secrets = settings.secrets
    return ProgramArgs(
        name=REPUBLISH_REQUESTS,
        namespace=SERVICES_NAMESPACE,
        image=settings.images["services"],
        argv=("-m", "services.campaigns.jobs.republish_requests"),
        size=settings.sizes.job,
        settings={**_base(settings, "campaigns"), "ESQ_CONTACTS_URL": _url("contacts-api")},
        secrets={
            "ESQ_DATABASE_URL": _database("campaigns", secrets.postgres.services["campaigns"]),
            "ESQ_TOKEN_KEY": secrets.application.token_key,
        },
        certificate=secrets.certificates["campaigns"],
        authority=secrets.authority.certificate,
    )


def _process(settings: StackSettings, process: Process) -> ServiceArgs:
    return ServiceArgs(
        name=process.name,
        namespace=SERVICES_NAMESPACE,
        image=settings.images["services"],
        argv=process.argv,
        size=settings.sizes.service,
        replicas=REPLICAS,
        listens=process.face is not None,
        node_port=process.face.node_port if process.face else None,
        settings=_plain(settings, process),
        secrets=_secret(settings, process),
        certificate=settings.secrets.certificates[process.service],
        authority=settings.secrets.authority.certificate,
    )


def _plain(settings: StackSettings, process: Process) -> dict[str, str]:
    own = {
        "campaigns-planner": {"ESQ_CONTACTS_URL": _url("contacts-api")},
        "whatsapp-dispatcher": {"ESQ_CLOUD_API_URL": _url("simulator-api")},
        "simulator-api": {"ESQ_CALLBACK_URL": f"{_url('whatsapp-api')}/webhooks/cloud"},
    }
    values = {**_base(settings, process.service), **own.get(process.name, {})}
    values |= _kafka(process.service) if process.kafka else {}
    return values | (_redis() if process.redis else {})


def _secret(settings: StackSettings, process: Process) -> dict[str, str]:
    secrets = settings.secrets
    password = secrets.postgres.services[process.service]
    values = {"ESQ_DATABASE_URL": _database(process.service, password)}
    if process.kind == "api":
        values["ESQ_DATABASE_STANDBY_URL"] = _database(process.service, password, "postgres-replica")
    if process.kafka:
        values["ESQ_KAFKA_PASSWORD"] = secrets.kafka.services[process.service]
    if process.redis:
        values["ESQ_REDIS_PASSWORD"] = secrets.redis.password
        values["ESQ_REDIS_SENTINEL_PASSWORD"] = secrets.redis.sentinel
    shared = {
        "ESQ_TOKEN_KEY": secrets.application.token_key,
        "ESQ_CLOUD_API_TOKEN": secrets.application.cloud_api_token,
        "ESQ_APP_SECRET": secrets.application.app_secret,
        "ESQ_VERIFY_TOKEN": secrets.application.verify_token,
    }
    return values | {name: shared[name] for name in _NEEDS[process.name]}


_NEEDS = {
    "contacts-api": ("ESQ_TOKEN_KEY",),
    "campaigns-api": ("ESQ_TOKEN_KEY",),
    "campaigns-planner": ("ESQ_TOKEN_KEY",),
    "campaigns-worker": (),
    "whatsapp-api": ("ESQ_TOKEN_KEY", "ESQ_APP_SECRET", "ESQ_VERIFY_TOKEN"),
    "whatsapp-worker": (),
    "whatsapp-dispatcher": ("ESQ_CLOUD_API_TOKEN",),
    "whatsapp-callbacks": (),
    "simulator-api": ("ESQ_TOKEN_KEY", "ESQ_CLOUD_API_TOKEN", "ESQ_APP_SECRET"),
}
"""The shared secrets that each process is given, and no more."""
