"""Rules for everything the services layer declares; each is shown to notice its breach."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import pytest

from infra.processes import PROCESSES
from services.contracts.ports import FACES, HEALTH_PATH, HTTP_PORT, LIVE_PATH
from tests.unit.cli.conftest import DIGEST
from tests.unit.data.data_recording import record
from tests.unit.data.test_data_layer_rules import by_digest, confined, no_token_unless_meant, sized

if TYPE_CHECKING:
    from collections.abc import Callable

    from infra.config import StackSettings
    from tests.unit.data.data_recording import Recording

Pod = dict[str, Any]
NAMES = [process.name for process in PROCESSES]


def asked(template: Pod) -> None:
    """Started, alive and ready are three questions, all over HTTPS, the last of them the true one."""
    (container,) = template["spec"]["containers"]
    probes = {kind: container[f"{kind}Probe"]["httpGet"] for kind in ("startup", "liveness", "readiness")}
    assert {probe["scheme"] for probe in probes.values()} == {"HTTPS"}
    assert {probe["port"] for probe in probes.values()} == {HTTP_PORT}
    assert probes["liveness"]["path"] == LIVE_PATH
    assert probes["readiness"]["path"] == HEALTH_PATH


def spread(template: Pod) -> None:
    """Zones never differ by more than one, each generation for itself, lost zones left out."""
    (constraint,) = template["spec"]["topologySpreadConstraints"]
    assert constraint["topologyKey"] == "topology.kubernetes.io/zone"
    assert constraint["maxSkew"] == 1
    assert constraint["whenUnsatisfiable"] == "DoNotSchedule"
    assert constraint["nodeTaintsPolicy"] == "Honor"
    assert constraint["matchLabelKeys"] == ["pod-template-hash"]
    assert constraint["labelSelector"]["matchLabels"].items() <= template["metadata"]["labels"].items()


def leaves_lost_nodes(template: Pod) -> None:
    """A pod without a volume is started elsewhere 5 s after its node was given up."""
    tolerations = template["spec"]["tolerations"]
    assert {each["key"] for each in tolerations} == {
        "node.kubernetes.io/not-ready",
        "node.kubernetes.io/unreachable",
    }
    assert {each["tolerationSeconds"] for each in tolerations} == {5}


def hides_secrets(template: Pod) -> None:
    """Secrets come from Secrets; what stands in the manifest may be seen."""
    for container in template["spec"]["containers"]:
        for variable in container["env"]:
            assert not any(
                word in variable["name"] for word in ("PASSWORD", "TOKEN", "SECRET", "DATABASE_URL")
            )


COMMON = (confined, sized, by_digest, no_token_unless_meant, leaves_lost_nodes, hides_secrets)
STAYING = (asked, spread)


def deployment(layer: Recording, name: str) -> dict[str, Any]:
    spec: dict[str, Any] = layer.named("Deployment", name)["spec"]
    return spec


def test_every_process_has_a_deployment(services_layer: Recording) -> None:
    found = {each["metadata"]["name"] for each in services_layer.of("Deployment")}
    assert found == set(NAMES)


@pytest.mark.parametrize("rule", COMMON)
def test_every_pod_keeps_the_rule(services_layer: Recording, rule: Callable[[Pod], None]) -> None:
    templates = services_layer.pods()
    assert len(templates) == len(NAMES) + 4
    for template in templates.values():
        rule(template)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("rule", STAYING)
def test_every_process_keeps_the_rule(
    services_layer: Recording, name: str, rule: Callable[[Pod], None]
) -> None:
    rule(deployment(services_layer, name)["template"])


def _container(template: Pod) -> Any:
    return template["spec"]["containers"][0]


BREACHES: list[tuple[Callable[[Pod], None], Callable[[Pod], object]]] = [
    (confined, lambda pod: pod["spec"]["securityContext"].update(runAsNonRoot=False)),
    (sized, lambda pod: _container(pod)["resources"]["limits"].clear()),
    (by_digest, lambda pod: _container(pod).update(image="esq/services:latest")),
    (no_token_unless_meant, lambda pod: pod["spec"].update(automountServiceAccountToken=None)),
    (leaves_lost_nodes, lambda pod: pod["spec"]["tolerations"][0].update(tolerationSeconds=300)),
    (hides_secrets, lambda pod: _container(pod)["env"].append({"name": "ESQ_TOKEN_KEY", "value": "x"})),
    (asked, lambda pod: _container(pod)["readinessProbe"]["httpGet"].update(path=LIVE_PATH)),
    (asked, lambda pod: _container(pod)["livenessProbe"]["httpGet"].update(scheme="HTTP")),
    (spread, lambda pod: pod["spec"]["topologySpreadConstraints"][0].update(matchLabelKeys=[])),
    (
        spread,
        lambda pod: pod["spec"]["topologySpreadConstraints"][0].update(whenUnsatisfiable="ScheduleAnyway"),
    ),
]


@pytest.mark.parametrize(("rule", "breach"), BREACHES)
def test_each_rule_notices_its_breach(
    services_layer: Recording, rule: Callable[[Pod], None], breach: Callable[[Pod], object]
) -> None:
    template = copy.deepcopy(deployment(services_layer, "whatsapp-api")["template"])
    rule(template)
    breach(template)
    with pytest.raises((AssertionError, KeyError)):
        rule(template)


@pytest.mark.parametrize("name", NAMES)
def test_two_replicas_replaced_without_a_gap(services_layer: Recording, name: str) -> None:
    spec = deployment(services_layer, name)
    assert spec["replicas"] == 2
    assert spec["strategy"]["rollingUpdate"] == {"maxUnavailable": 0, "maxSurge": 1}


@pytest.mark.parametrize("name", NAMES)
def test_a_drain_takes_one_replica_at_a_time(services_layer: Recording, name: str) -> None:
    budget = services_layer.named("PodDisruptionBudget", name)["spec"]
    assert budget["maxUnavailable"] == 1


@pytest.mark.parametrize("face", FACES, ids=lambda face: face.service)
def test_faces_are_where_the_edge_looks_for_them(services_layer: Recording, face: Any) -> None:
    spec = services_layer.named("Service", face.service)["spec"]
    assert spec["type"] == "NodePort"
    assert spec["externalTrafficPolicy"] == "Local"
    assert spec["ports"][0]["nodePort"] == face.node_port
    selected = spec["selector"].items()
    assert selected <= deployment(services_layer, face.service)["template"]["metadata"]["labels"].items()


def test_what_is_no_face_has_no_service(services_layer: Recording) -> None:
    assert {each["metadata"]["name"] for each in services_layer.of("Service")} == {
        face.service for face in FACES
    }


def test_jobs_are_declared_before_any_process(services_layer: Recording) -> None:
    kinds = [token.rpartition(":")[2] for token, _, _ in services_layer.resources]
    assert max(i for i, kind in enumerate(kinds) if kind == "Job" and i > 1) < kinds.index("Deployment")


def test_jobs_run_again_when_their_image_changes(
    services_layer: Recording, service_settings: StackSettings
) -> None:
    images = {"services": f"10.95.0.1:5000/esq/services@{DIGEST[:-1]}1"}
    changed = record("services", service_settings.model_copy(update={"images": images}))
    before, after = (
        {job["metadata"]["name"] for job in layer.of("Job")} for layer in (services_layer, changed)
    )
    assert len(before) == len(after) == 2
    assert not before & after


def _secret(layer: Recording, name: str) -> dict[str, str]:
    values: dict[str, str] = layer.named("Secret", name)["stringData"]["value"]
    return values


def test_each_process_is_given_the_secrets_it_needs_and_no_more(services_layer: Recording) -> None:
    given = {name: set(_secret(services_layer, name)) for name in NAMES}
    assert given["contacts-api"] == {"ESQ_DATABASE_STANDBY_URL", "ESQ_DATABASE_URL", "ESQ_TOKEN_KEY"}
    assert given["campaigns-planner"] == {"ESQ_DATABASE_URL", "ESQ_KAFKA_PASSWORD", "ESQ_TOKEN_KEY"}
    assert given["campaigns-worker"] == {"ESQ_DATABASE_URL", "ESQ_KAFKA_PASSWORD"}
    assert given["whatsapp-callbacks"] == {"ESQ_DATABASE_URL"}
    assert "ESQ_TOKEN_KEY" not in given["whatsapp-dispatcher"]
    assert "ESQ_ADMIN_DATABASE_URL" in _secret(services_layer, "migrate")
    assert not any("ESQ_ADMIN_DATABASE_URL" in names for names in given.values())


def test_who_uses_queues_knows_every_sentinel_and_both_passwords(services_layer: Recording) -> None:
    for process in PROCESSES:
        template = deployment(services_layer, process.name)["template"]
        given = {each["name"]: each.get("value", "") for each in _container(template)["env"]}
        secrets = {name for name in _secret(services_layer, process.name) if name.startswith("ESQ_REDIS_")}
        if process.redis:
            assert len(given["ESQ_REDIS_SENTINELS"].split(",")) == 3
            assert secrets == {"ESQ_REDIS_PASSWORD", "ESQ_REDIS_SENTINEL_PASSWORD"}
        else:
            assert not secrets
            assert "ESQ_REDIS_SENTINELS" not in given


def test_each_service_logs_in_as_itself(services_layer: Recording) -> None:
    for process in PROCESSES:
        url = _secret(services_layer, process.name)["ESQ_DATABASE_URL"]
        assert url.startswith(f"postgresql+asyncpg://{process.service}:")
