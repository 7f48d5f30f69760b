"""Rules for all resources of the services layer; each rule is shown to detect its violation."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import pytest

from cli.actions.workloads import WORKLOADS
from infra.credentials import complete_credentials
from infra.names import NAME_LABEL, SERVICES
from infra.observability_settings import ObservabilitySettings
from infra.processes import PROCESSES
from services.contracts.endpoints import HTTP_PORT, LIVENESS_PATH, PUBLIC_ENDPOINTS, READINESS_PATH
from tests.unit.stacks.pulumi_recorder import DIGEST, record
from tests.unit.stacks.test_data_layer_rules import (
    explicit_token_mount,
    image_by_digest,
    restricted,
    sized,
    zones_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from infra.stack_settings import StackSettings
    from tests.unit.stacks.pulumi_recorder import Recording

Pod = dict[str, Any]
NAMES = [process.name for process in PROCESSES]


def has_https_probes(template: Pod) -> None:
    """Startup, liveness and readiness are HTTPS probes; readiness uses the readiness path."""
    (container,) = template["spec"]["containers"]
    probes = {kind: container[f"{kind}Probe"]["httpGet"] for kind in ("startup", "liveness", "readiness")}
    assert {probe["scheme"] for probe in probes.values()} == {"HTTPS"}
    assert {probe["port"] for probe in probes.values()} == {HTTP_PORT}
    assert probes["liveness"]["path"] == LIVENESS_PATH
    assert probes["readiness"]["path"] == READINESS_PATH


def spread_over_zones(template: Pod) -> None:
    """Zones differ by at most one replica, per revision, without lost zones."""
    (constraint,) = template["spec"]["topologySpreadConstraints"]
    assert constraint["topologyKey"] == "topology.kubernetes.io/zone"
    assert constraint["maxSkew"] == 1
    assert constraint["whenUnsatisfiable"] == "DoNotSchedule"
    assert constraint["nodeTaintsPolicy"] == "Honor"
    assert constraint["matchLabelKeys"] == ["pod-template-hash"]
    assert constraint["labelSelector"]["matchLabels"].items() <= template["metadata"]["labels"].items()


def evicted_from_lost_nodes(template: Pod) -> None:
    """A pod without a volume is evicted 5 s after its node is marked as lost."""
    tolerations = template["spec"]["tolerations"]
    assert {toleration["key"] for toleration in tolerations} == {
        "node.kubernetes.io/not-ready",
        "node.kubernetes.io/unreachable",
    }
    assert {toleration["tolerationSeconds"] for toleration in tolerations} == {5}


def secrets_not_in_manifest(template: Pod) -> None:
    """Secret values come from Secrets; the manifest contains none."""
    for container in template["spec"]["containers"]:
        for variable in container["env"]:
            assert not any(
                word in variable["name"] for word in ("PASSWORD", "TOKEN", "SECRET", "DATABASE_URL")
            )


COMMON_RULES = (
    restricted,
    sized,
    image_by_digest,
    explicit_token_mount,
    evicted_from_lost_nodes,
    secrets_not_in_manifest,
)
DEPLOYMENT_RULES = (has_https_probes, spread_over_zones)


def deployment(layer: Recording, name: str) -> dict[str, Any]:
    spec: dict[str, Any] = layer.named("Deployment", name)["spec"]
    return spec


def test_every_process_has_a_deployment(services_layer: Recording) -> None:
    names = {deployment["metadata"]["name"] for deployment in services_layer.of_kind("Deployment")}
    assert names == set(NAMES)


@pytest.mark.parametrize("rule", COMMON_RULES)
def test_every_services_pod_follows_the_rule(services_layer: Recording, rule: Callable[[Pod], None]) -> None:
    templates = services_layer.pods()
    assert len(templates) == len(NAMES) + 4
    for template in templates.values():
        rule(template)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("rule", DEPLOYMENT_RULES)
def test_every_process_follows_the_rule(
    services_layer: Recording, name: str, rule: Callable[[Pod], None]
) -> None:
    rule(deployment(services_layer, name)["template"])


def _container(template: Pod) -> Any:
    return template["spec"]["containers"][0]


VIOLATIONS: list[tuple[Callable[[Pod], None], Callable[[Pod], object]]] = [
    (restricted, lambda pod: pod["spec"]["securityContext"].update(runAsNonRoot=False)),
    (sized, lambda pod: _container(pod)["resources"]["limits"].clear()),
    (image_by_digest, lambda pod: _container(pod).update(image="esq/services:latest")),
    (explicit_token_mount, lambda pod: pod["spec"].update(automountServiceAccountToken=None)),
    (evicted_from_lost_nodes, lambda pod: pod["spec"]["tolerations"][0].update(tolerationSeconds=300)),
    (
        secrets_not_in_manifest,
        lambda pod: _container(pod)["env"].append({"name": "ESQ_TOKEN_KEYS", "value": "x"}),
    ),
    (has_https_probes, lambda pod: _container(pod)["readinessProbe"]["httpGet"].update(path=LIVENESS_PATH)),
    (has_https_probes, lambda pod: _container(pod)["livenessProbe"]["httpGet"].update(scheme="HTTP")),
    (spread_over_zones, lambda pod: pod["spec"]["topologySpreadConstraints"][0].update(matchLabelKeys=[])),
    (
        spread_over_zones,
        lambda pod: pod["spec"]["topologySpreadConstraints"][0].update(whenUnsatisfiable="ScheduleAnyway"),
    ),
]


@pytest.mark.parametrize(("rule", "violate"), VIOLATIONS)
def test_each_services_rule_detects_its_violation(
    services_layer: Recording, rule: Callable[[Pod], None], violate: Callable[[Pod], object]
) -> None:
    template = copy.deepcopy(deployment(services_layer, "whatsapp-api")["template"])
    rule(template)
    violate(template)
    with pytest.raises((AssertionError, KeyError)):
        rule(template)


@pytest.mark.parametrize("name", NAMES)
def test_rolling_update_keeps_two_replicas(services_layer: Recording, name: str) -> None:
    spec = deployment(services_layer, name)
    assert spec["replicas"] == 2
    assert spec["strategy"]["rollingUpdate"] == {"maxUnavailable": 0, "maxSurge": 1}


@pytest.mark.parametrize("name", NAMES)
def test_drain_evicts_one_process_replica_at_a_time(services_layer: Recording, name: str) -> None:
    budget = services_layer.named("PodDisruptionBudget", name)["spec"]
    assert budget["maxUnavailable"] == 1


@pytest.mark.parametrize("endpoint", PUBLIC_ENDPOINTS, ids=lambda endpoint: endpoint.service)
def test_public_endpoints_are_node_ports(services_layer: Recording, endpoint: Any) -> None:
    spec = services_layer.named("Service", endpoint.service)["spec"]
    assert spec["type"] == "NodePort"
    assert spec["externalTrafficPolicy"] == "Local"
    assert spec["ports"][0]["nodePort"] == endpoint.node_port
    selected = spec["selector"].items()
    assert selected <= deployment(services_layer, endpoint.service)["template"]["metadata"]["labels"].items()


def test_only_public_endpoints_have_services(services_layer: Recording) -> None:
    assert {service["metadata"]["name"] for service in services_layer.of_kind("Service")} == {
        endpoint.service for endpoint in PUBLIC_ENDPOINTS
    }


def test_jobs_are_declared_before_processes(services_layer: Recording) -> None:
    kinds = [token.rpartition(":")[2] for token, _, _ in services_layer.resources]
    assert max(i for i, kind in enumerate(kinds) if kind == "Job" and i > 1) < kinds.index("Deployment")


def test_changed_image_gives_new_jobs(services_layer: Recording, service_settings: StackSettings) -> None:
    images = {"services": f"10.95.0.1:5000/esq/services@{DIGEST[:-1]}1"}
    changed = record("services", service_settings.model_copy(update={"images": images}))
    before, after = (
        {job["metadata"]["name"] for job in layer.of_kind("Job")} for layer in (services_layer, changed)
    )
    assert len(before) == len(after) == 2
    assert not before & after


def _secret(layer: Recording, name: str) -> dict[str, str]:
    values: dict[str, str] = layer.named("Secret", name)["stringData"]["value"]
    return values


def test_each_process_gets_only_the_secrets_it_needs(services_layer: Recording) -> None:
    secrets = {name: set(_secret(services_layer, name)) for name in NAMES}
    assert secrets["contacts-api"] == {"ESQ_DATABASE_STANDBY_URL", "ESQ_DATABASE_URL", "ESQ_TOKEN_KEYS"}
    assert secrets["campaigns-planner"] == {
        "ESQ_DATABASE_URL",
        "ESQ_KAFKA_PASSWORD",
        "ESQ_KAFKA_USERNAME",
        "ESQ_TOKEN_KEYS",
    }
    assert secrets["campaigns-worker"] == {
        "ESQ_DATABASE_URL",
        "ESQ_KAFKA_PASSWORD",
        "ESQ_KAFKA_USERNAME",
    }
    assert secrets["whatsapp-webhooks"] == {"ESQ_DATABASE_URL"}
    assert "ESQ_TOKEN_KEYS" not in secrets["whatsapp-dispatcher"]
    assert set(_secret(services_layer, "migrate")) == {
        f"ESQ_DATABASE_URL_{service.upper()}" for service in SERVICES
    }


def test_processes_with_redis_get_all_sentinels_and_one_account(services_layer: Recording) -> None:
    for process in PROCESSES:
        template = deployment(services_layer, process.name)["template"]
        env = {variable["name"]: variable.get("value", "") for variable in _container(template)["env"]}
        secrets = {name for name in _secret(services_layer, process.name) if name.startswith("ESQ_REDIS_")}
        if process.redis:
            assert len(env["ESQ_REDIS_SENTINELS"].split(",")) == 3
            assert env["ESQ_REDIS_USERNAME"] == process.service
            assert secrets == {"ESQ_REDIS_PASSWORD"}
        else:
            assert not secrets
            assert "ESQ_REDIS_SENTINELS" not in env


def test_each_service_uses_its_own_database_role(services_layer: Recording) -> None:
    for process in PROCESSES:
        url = _secret(services_layer, process.name)["ESQ_DATABASE_URL"]
        assert url.startswith(f"postgresql+asyncpg://{process.service}_a:")


def test_second_generation_logs_in_with_its_own_roles_and_trusts_both_authorities(
    service_settings: StackSettings,
) -> None:
    first = service_settings.required_credentials
    second = complete_credentials().model_copy(update={"generation": "b", "alternate": first})
    layer = record("services", service_settings.model_copy(update={"credentials": second}))
    password = second.postgres.services["campaigns"]
    assert f"//campaigns_b:{password}@" in _secret(layer, "campaigns-api")["ESQ_DATABASE_URL"]
    assert f"//campaigns_b:{password}@" in _secret(layer, "migrate")["ESQ_DATABASE_URL_CAMPAIGNS"]
    assert _secret(layer, "campaigns-api-tls")["ca.crt"] == second.ca.certificate + first.ca.certificate


def test_definition_reaches_every_process(service_settings: StackSettings) -> None:
    changes = {
        "simulator": False,
        "cloud_api_url": "https://cloud.example",
        "zones": ("a", "b", "c", "d"),
        "replicas": {"campaigns-planner": 4},
    }
    layer = record("services", service_settings.model_copy(update=changes))
    deployments = {entry["metadata"]["name"]: entry["spec"] for entry in layer.of_kind("Deployment")}
    assert set(deployments) == {name for name in NAMES if not name.startswith("simulator")}
    assert deployments["campaigns-planner"]["replicas"] == 4
    assert deployments["campaigns-api"]["replicas"] == 2
    for spec in deployments.values():
        assert zones_of(spec["template"]) == ["a", "b", "c", "d"]
    (container,) = deployments["whatsapp-dispatcher"]["template"]["spec"]["containers"]
    assert {"name": "ESQ_CLOUD_API_URL", "value": "https://cloud.example"} in container["env"]


def test_every_workload_that_esq_reaches_by_name_has_pods(
    data_layer: Recording, services_layer: Recording
) -> None:
    pods = [*data_layer.pods().values(), *services_layer.pods().values()]
    containers = {
        (pod["metadata"]["labels"][NAME_LABEL], container["name"])
        for pod in pods
        if NAME_LABEL in pod["metadata"].get("labels", {})
        for container in pod["spec"]["containers"]
    }
    assert {(workload.name, workload.container) for workload in WORKLOADS.values()} <= containers


def test_services_send_traces_where_the_observability_layer_is_chosen(
    service_settings: StackSettings, services_layer: Recording
) -> None:
    chosen = service_settings.model_copy(update={"observability": ObservabilitySettings(enabled=True)})
    layer = record("services", chosen)
    for name in NAMES:
        variables = {
            item["name"]: item.get("value") for item in _container(layer.pods()[f"Deployment {name}"])["env"]
        }
        assert variables["ESQ_TRACES_ENDPOINT"] == "https://traces.esq-observability.svc.cluster.local:4318"
        assert (variables["ESQ_PROCESS"], variables["ESQ_TRACES_RATIO"]) == (name, "0.1")
        assert layer.named("Secret", name)["stringData"]["value"]["ESQ_TRACES_PASSWORD"]
    assert "ESQ_TRACES_ENDPOINT" not in str(services_layer.pods())
