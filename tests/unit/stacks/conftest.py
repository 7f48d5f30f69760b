"""Credentials and settings of an environment, and recordings of the declared resources of each layer."""

from __future__ import annotations

import pytest

from infra.credentials import Credentials, OffsiteStoreAccess, complete_credentials
from infra.environment_definition import LOCAL_DEFINITION
from infra.stack_settings import Layer, StackSettings
from tests.unit.stacks.pulumi_recorder import DIGEST, Recording, record

OFFSITE_STORE = OffsiteStoreAccess(
    url="https://offsite-store.esq-data.svc.cluster.local:3900",
    region="esq",
    bucket="backups",
    key_id="GK1",
    key_secret="secret-of-the-offsite-store",
    ca_certificate="PEM of the zones",
    ip_address="10.95.0.1",
)


LOCAL = LOCAL_DEFINITION.platform_settings


@pytest.fixture(scope="session")
def credentials() -> Credentials:
    return complete_credentials().model_copy(update={"offsite_store": OFFSITE_STORE})


@pytest.fixture(scope="session")
def settings(credentials: Credentials) -> StackSettings:
    names = ("postgres", "redis", "kafka", "garage", "services")
    images = {name: f"10.95.0.1:5000/esq/{name}@{DIGEST}" for name in names}
    return StackSettings(
        environment="local", layer=Layer.DATA, images=images, credentials=credentials, **LOCAL
    )


@pytest.fixture(scope="session")
def cluster_layer() -> Recording:
    return record("cluster", StackSettings(environment="local", layer=Layer.CLUSTER, **LOCAL))


@pytest.fixture(scope="session")
def data_layer(settings: StackSettings) -> Recording:
    return record("data", settings)


@pytest.fixture(scope="session")
def service_settings() -> StackSettings:
    return StackSettings(
        environment="local",
        layer=Layer.SERVICES,
        images={"services": f"10.95.0.1:5000/esq/services@{DIGEST}"},
        credentials=complete_credentials(),
        **LOCAL,
    )


@pytest.fixture(scope="session")
def observability_layer(credentials: Credentials) -> Recording:
    images = {name: f"10.95.0.1:5000/esq/{name}@{DIGEST}" for name in ("observability", "services")}
    settings = StackSettings(
        environment="local", layer=Layer.OBSERVABILITY, images=images, credentials=credentials, **LOCAL
    )
    return record("observability", settings)


@pytest.fixture(scope="session")
def services_layer(service_settings: StackSettings) -> Recording:
    return record("services", service_settings)
