"""Rules for everything the cluster and data layers declare; each is shown to notice its breach."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from data_recording import Recording

STATEFUL = ("kafka", "objects", "postgres", "redis")


def containers(template: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield from template["spec"].get("initContainers", [])
    yield from template["spec"]["containers"]


def confined(template: dict[str, Any]) -> None:
    """The `restricted` pod security standard, and a root file system that cannot be written."""
    pod = template["spec"]["securityContext"]
    assert pod["runAsNonRoot"] is True
    assert pod["runAsUser"] > 0
    assert pod["seccompProfile"]["type"] == "RuntimeDefault"
    for container in containers(template):
        own = container["securityContext"]
        assert own["allowPrivilegeEscalation"] is False
        assert own["readOnlyRootFilesystem"] is True
        assert own["capabilities"]["drop"] == ["ALL"]


def sized(template: dict[str, Any]) -> None:
    """CPU and memory requested, memory limited, CPU not."""
    for container in containers(template):
        resources = container["resources"]
        assert set(resources["requests"]) == {"cpu", "memory"}
        assert set(resources["limits"]) == {"memory"}


def by_digest(template: dict[str, Any]) -> None:
    """The same manifest always runs the same code."""
    for container in containers(template):
        assert "@sha256:" in container["image"]


def no_token_unless_meant(template: dict[str, Any]) -> None:
    """An account of its own, and its token only where someone decided so."""
    assert template["spec"]["serviceAccountName"]
    assert isinstance(template["spec"]["automountServiceAccountToken"], bool)


def probed(template: dict[str, Any]) -> None:
    """Every container that stays is asked whether it lives and, differently, whether it is ready."""
    for container in template["spec"]["containers"]:
        assert container["livenessProbe"] != container["readinessProbe"]


def one_per_zone(template: dict[str, Any]) -> None:
    """One replica per zone, even while a zone is lost; and never two on a node."""
    (spread,) = template["spec"]["topologySpreadConstraints"]
    assert spread["topologyKey"] == "topology.kubernetes.io/zone"
    assert (spread["maxSkew"], spread["whenUnsatisfiable"], spread["nodeTaintsPolicy"]) == (
        1,
        "DoNotSchedule",
        "Honor",
    )
    selected = spread["labelSelector"]["matchLabels"].items()
    assert selected <= template["metadata"]["labels"].items()
    anti = template["spec"]["affinity"]["podAntiAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    assert anti[0]["topologyKey"] == "kubernetes.io/hostname"
    assert anti[0]["labelSelector"]["matchLabels"].items() <= template["metadata"]["labels"].items()


RULES = (confined, sized, by_digest, no_token_unless_meant)
STATEFUL_RULES = (probed, one_per_zone)


def test_there_is_something_to_judge(data_layer: Recording) -> None:
    names = [name.rpartition("-")[0] if name.startswith("Job") else name for name in data_layer.pods()]
    assert sorted(names) == [
        "CronJob backup-diff",
        "CronJob backup-drill",
        "CronJob backup-full",
        "CronJob backup-media",
        "CronJob backup-media-back",
        "CronJob postgres-restored",
        "Deployment backup-witness",
        "Job backup-first",
        "Job objects-layout",
        "StatefulSet kafka",
        "StatefulSet objects",
        "StatefulSet postgres",
        "StatefulSet redis",
    ]


@pytest.mark.parametrize("rule", RULES)
def test_every_pod_keeps_the_rule(data_layer: Recording, rule: Callable[[dict[str, Any]], None]) -> None:
    for template in data_layer.pods().values():
        rule(template)


@pytest.mark.parametrize("name", STATEFUL)
@pytest.mark.parametrize("rule", STATEFUL_RULES)
def test_every_stateful_pod_keeps_the_rule(
    data_layer: Recording, name: str, rule: Callable[[dict[str, Any]], None]
) -> None:
    rule(data_layer.pods()[f"StatefulSet {name}"])


BREACHES: list[tuple[Callable[[dict[str, Any]], None], Callable[[dict[str, Any]], object]]] = [
    (confined, lambda pod: pod["spec"]["securityContext"].update(runAsNonRoot=False)),
    (
        confined,
        lambda pod: pod["spec"]["initContainers"][0]["securityContext"].update(capabilities={"drop": []}),
    ),
    (sized, lambda pod: pod["spec"]["containers"][0]["resources"]["limits"].clear()),
    (sized, lambda pod: pod["spec"]["containers"][0]["resources"]["limits"].update(cpu="1")),
    (by_digest, lambda pod: pod["spec"]["containers"][0].update(image="kafka:latest")),
    (no_token_unless_meant, lambda pod: pod["spec"].update(automountServiceAccountToken=None)),
    (probed, lambda pod: pod["spec"]["containers"][0].pop("readinessProbe")),
    (one_per_zone, lambda pod: pod["spec"]["topologySpreadConstraints"][0].update(nodeTaintsPolicy="Ignore")),
    (one_per_zone, lambda pod: pod["metadata"]["labels"].clear()),
]


@pytest.mark.parametrize(("rule", "breach"), BREACHES)
def test_each_rule_notices_its_breach(
    data_layer: Recording,
    rule: Callable[[dict[str, Any]], None],
    breach: Callable[[dict[str, Any]], object],
) -> None:
    template = copy.deepcopy(data_layer.pods()["StatefulSet kafka"])
    rule(template)
    breach(template)
    with pytest.raises((AssertionError, KeyError)):
        rule(template)


@pytest.mark.parametrize("name", STATEFUL)
def test_three_replicas_on_volumes_that_wait_for_their_zone(data_layer: Recording, name: str) -> None:
    spec = data_layer.named("StatefulSet", name)["spec"]
    assert spec["replicas"] == 3
    (claim,) = spec["volumeClaimTemplates"]
    assert claim["spec"]["storageClassName"] == "esq-local"


@pytest.mark.parametrize("name", STATEFUL)
def test_a_drain_takes_one_replica_at_a_time(data_layer: Recording, name: str) -> None:
    budget = data_layer.named("PodDisruptionBudget", name)["spec"]
    template = data_layer.pods()[f"StatefulSet {name}"]
    assert budget["maxUnavailable"] == 1
    assert budget["selector"]["matchLabels"].items() <= template["metadata"]["labels"].items()


@pytest.mark.parametrize("name", STATEFUL)
def test_a_pod_stays_with_its_volume_when_its_node_is_lost(data_layer: Recording, name: str) -> None:
    for toleration in data_layer.pods()[f"StatefulSet {name}"]["spec"]["tolerations"]:
        assert "tolerationSeconds" not in toleration


def test_stateful_sets_find_their_governing_service(data_layer: Recording) -> None:
    for each in data_layer.of("StatefulSet"):
        service = data_layer.named("Service", each["spec"]["serviceName"])["spec"]
        assert service["clusterIP"] == "None"
        assert service["publishNotReadyAddresses"] is True


def test_postgres_has_a_service_for_each_endpoints_of_patroni(data_layer: Recording) -> None:
    for name in ("postgres", "postgres-config", "postgres-sync", "postgres-failover"):
        assert "selector" not in data_layer.named("Service", name)["spec"]


def test_patroni_may_touch_its_own_objects_only(data_layer: Recording) -> None:
    for rule in data_layer.named("Role", "postgres")["rules"]:
        assert "*" not in rule["verbs"]
        if set(rule["verbs"]) & {"patch", "update", "delete"}:
            assert all(name.startswith("postgres") for name in rule["resourceNames"])


SECRET_SIGNATURE = "4dabf18193072939515e22adb298388d"
"""How the engine marks a value that it must keep encrypted."""


def test_secrets_are_marked_secret_to_the_engine(data_layer: Recording) -> None:
    for secret in data_layer.of("Secret"):
        assert SECRET_SIGNATURE in secret["stringData"]
        assert SECRET_SIGNATURE in secret.get("data", secret["stringData"])


def test_no_secret_is_in_a_config_map_or_a_manifest(data_layer: Recording) -> None:
    secrets = [secret["stringData"]["value"] for secret in data_layer.of("Secret")]
    hidden = {value for each in secrets for key, value in each.items() if key != "ca.crt"}
    assert len(hidden) > 10
    shown = repr([inputs for token, _, inputs in data_layer.resources if not token.endswith(":Secret")])
    assert not [value for value in hidden if value in shown]


def test_namespaces_enforce_the_restricted_standard(cluster_layer: Recording) -> None:
    namespaces = cluster_layer.of("Namespace")
    assert {each["metadata"]["name"] for each in namespaces} == {"esq-data", "esq-services"}
    for each in namespaces:
        assert each["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"


def test_truth_is_evicted_last(cluster_layer: Recording, data_layer: Recording) -> None:
    values = {each["metadata"]["name"]: each["value"] for each in cluster_layer.of("PriorityClass")}
    assert values["esq-data"] > values["esq-services"]
    for name in STATEFUL:
        assert data_layer.pods()[f"StatefulSet {name}"]["spec"]["priorityClassName"] == "esq-data"


def test_the_local_data_layer_leaves_room_for_the_rest(data_layer: Recording) -> None:
    """What all replicas request together, in MiB: the whole platform is to fit into 5 GiB."""
    requested = sum(
        int(container["resources"]["requests"]["memory"].removesuffix("Mi"))
        for name in STATEFUL
        for container in data_layer.pods()[f"StatefulSet {name}"]["spec"]["containers"]
    )
    assert 3 * requested <= 2048
