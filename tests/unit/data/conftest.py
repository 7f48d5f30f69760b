"""Shared by the tests of the data layer: credentials, settings, a recording of what a layer declares."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from data_recording import record

from infra.config import Layer, StackSettings
from infra.credentials import Credentials, VaultAccess, complete

if TYPE_CHECKING:
    from data_recording import Recording

DIGEST = "sha256:" + "0" * 64


VAULT = VaultAccess(
    url="https://vault.esq-data.svc.cluster.local:3900",
    region="esq",
    bucket="vault",
    key_id="GK1",
    key_secret="of-the-vault",
    authority="PEM of the zones",
    address="10.95.0.1",
)


@pytest.fixture(scope="session")
def credentials() -> Credentials:
    return complete().model_copy(update={"vault": VAULT})


@pytest.fixture(scope="session")
def settings(credentials: Credentials) -> StackSettings:
    names = ("postgres", "redis", "kafka", "garage", "services")
    images = {name: f"10.95.0.1:5000/esq/{name}@{DIGEST}" for name in names}
    return StackSettings(environment="local", layer=Layer.DATA, images=images, credentials=credentials)


@pytest.fixture(scope="session")
def data_layer(settings: StackSettings) -> Recording:
    return record("data", settings)


@pytest.fixture(scope="session")
def cluster_layer() -> Recording:
    return record("cluster", StackSettings(environment="local", layer=Layer.CLUSTER))
