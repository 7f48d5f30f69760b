"""Rules for all resources of the cluster and data layers; each rule is shown to detect its violation."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.unit.stacks.pulumi_recorder import Recording

STATEFUL = ("kafka", "object-store", "postgres", "redis")


def containers(template: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield from template["spec"].get("initContainers", [])
    yield from template["spec"]["containers"]


def restricted(template: dict[str, Any]) -> None:
    """The `restricted` pod security standard, and a read-only root file system."""
    pod = template["spec"]["securityContext"]
    assert pod["runAsNonRoot"] is True
    assert pod["runAsUser"] > 0
    assert pod["seccompProfile"]["type"] == "RuntimeDefault"
    for container in containers(template):
        security = container["securityContext"]
        assert security["allowPrivilegeEscalation"] is False
        assert security["readOnlyRootFilesystem"] is True
        assert security["capabilities"]["drop"] == ["ALL"]


def sized(template: dict[str, Any]) -> None:
    """Requests for CPU and memory, a limit for memory, none for CPU."""
    for container in containers(template):
        resources = container["resources"]
        assert set(resources["requests"]) == {"cpu", "memory"}
        assert set(resources["limits"]) == {"memory"}


def image_by_digest(template: dict[str, Any]) -> None:
    """The same manifest always runs the same image."""
    for container in containers(template):
        assert "@sha256:" in container["image"]


def explicit_token_mount(template: dict[str, Any]) -> None:
    """Its own service account, and an explicit decision about its token."""
    assert template["spec"]["serviceAccountName"]
    assert isinstance(template["spec"]["automountServiceAccountToken"], bool)


def has_probes(template: dict[str, Any]) -> None:
    """Every long-running container has different liveness and readiness probes."""
    for container in template["spec"]["containers"]:
        assert container["livenessProbe"] != container["readinessProbe"]


def one_replica_per_zone(template: dict[str, Any]) -> None:
    """One replica per zone, even while a zone is lost, and never two on a node."""
    (spread,) = template["spec"]["topologySpreadConstraints"]
    assert spread["topologyKey"] == "topology.kubernetes.io/zone"
    assert (spread["maxSkew"], spread["whenUnsatisfiable"], spread["nodeTaintsPolicy"]) == (
        1,
        "DoNotSchedule",
        "Honor",
    )
    selected = spread["labelSelector"]["matchLabels"].items()
    assert selected <= template["metadata"]["labels"].items()
    anti_affinity = template["spec"]["affinity"]["podAntiAffinity"][
        "requiredDuringSchedulingIgnoredDuringExecution"
    ]
    assert anti_affinity[0]["topologyKey"] == "kubernetes.io/hostname"
    assert anti_affinity[0]["labelSelector"]["matchLabels"].items() <= template["metadata"]["labels"].items()


def zones_of(template: dict[str, Any]) -> list[str]:
    """Return the zones in which a pod may run."""
    required = template["spec"]["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    ((expression,),) = (term["matchExpressions"] for term in required["nodeSelectorTerms"])
    assert (expression["key"], expression["operator"]) == ("topology.kubernetes.io/zone", "In")
    zones: list[str] = expression["values"]
    return zones


RULES = (restricted, sized, image_by_digest, explicit_token_mount)
STATEFUL_RULES = (has_probes, one_replica_per_zone)


def test_all_workloads_are_declared(data_layer: Recording) -> None:
    names = [name.rpartition("-")[0] if name.startswith("Job") else name for name in data_layer.pods()]
    assert sorted(names) == [
        "CronJob backup-diff",
        "CronJob backup-drill",
        "CronJob backup-full",
        "CronJob backup-media",
        "CronJob backup-media-restore",
        "CronJob postgres-restored",
        "Deployment backup-verifier",
        "Job backup-initial",
        "Job object-store-layout",
        "StatefulSet kafka",
        "StatefulSet object-store",
        "StatefulSet postgres",
        "StatefulSet redis",
    ]


@pytest.mark.parametrize("rule", RULES)
def test_every_pod_follows_the_rule(data_layer: Recording, rule: Callable[[dict[str, Any]], None]) -> None:
    for template in data_layer.pods().values():
        rule(template)


@pytest.mark.parametrize("name", STATEFUL)
@pytest.mark.parametrize("rule", STATEFUL_RULES)
def test_every_stateful_pod_follows_the_rule(
    data_layer: Recording, name: str, rule: Callable[[dict[str, Any]], None]
) -> None:
    rule(data_layer.pods()[f"StatefulSet {name}"])


VIOLATIONS: list[tuple[Callable[[dict[str, Any]], None], Callable[[dict[str, Any]], object]]] = [
    (restricted, lambda pod: pod["spec"]["securityContext"].update(runAsNonRoot=False)),
    (
        restricted,
        lambda pod: pod["spec"]["initContainers"][0]["securityContext"].update(capabilities={"drop": []}),
    ),
    (sized, lambda pod: pod["spec"]["containers"][0]["resources"]["limits"].clear()),
    (sized, lambda pod: pod["spec"]["containers"][0]["resources"]["limits"].update(cpu="1")),
    (image_by_digest, lambda pod: pod["spec"]["containers"][0].update(image="kafka:latest")),
    (explicit_token_mount, lambda pod: pod["spec"].update(automountServiceAccountToken=None)),
    (has_probes, lambda pod: pod["spec"]["containers"][0].pop("readinessProbe")),
    (
        one_replica_per_zone,
        lambda pod: pod["spec"]["topologySpreadConstraints"][0].update(nodeTaintsPolicy="Ignore"),
    ),
    (one_replica_per_zone, lambda pod: pod["metadata"]["labels"].clear()),
]


@pytest.mark.parametrize(("rule", "violate"), VIOLATIONS)
def test_each_rule_detects_its_violation(
    data_layer: Recording,
    rule: Callable[[dict[str, Any]], None],
    violate: Callable[[dict[str, Any]], object],
) -> None:
    template = copy.deepcopy(data_layer.pods()["StatefulSet kafka"])
    rule(template)
    violate(template)
    with pytest.raises((AssertionError, KeyError)):
        rule(template)


@pytest.mark.parametrize("name", STATEFUL)
def test_three_replicas_with_volumes_bound_to_their_zone(data_layer: Recording, name: str) -> None:
    spec = data_layer.named("StatefulSet", name)["spec"]
    assert spec["replicas"] == 3
    assert zones_of(spec["template"]) == ["zone-a", "zone-b", "zone-c"]
    (claim,) = spec["volumeClaimTemplates"]
    assert claim["spec"]["storageClassName"] == "esq-local"


@pytest.mark.parametrize("name", STATEFUL)
def test_drain_evicts_one_replica_at_a_time(data_layer: Recording, name: str) -> None:
    budget = data_layer.named("PodDisruptionBudget", name)["spec"]
    template = data_layer.pods()[f"StatefulSet {name}"]
    assert budget["maxUnavailable"] == 1
    assert budget["selector"]["matchLabels"].items() <= template["metadata"]["labels"].items()


@pytest.mark.parametrize("name", STATEFUL)
def test_stateful_pod_tolerates_a_lost_node(data_layer: Recording, name: str) -> None:
    for toleration in data_layer.pods()[f"StatefulSet {name}"]["spec"]["tolerations"]:
        assert "tolerationSeconds" not in toleration


def test_stateful_sets_have_a_headless_service(data_layer: Recording) -> None:
    for resource in data_layer.of_kind("StatefulSet"):
        service = data_layer.named("Service", resource["spec"]["serviceName"])["spec"]
        assert service["clusterIP"] == "None"
        assert service["publishNotReadyAddresses"] is True


def test_each_endpoints_object_of_patroni_has_a_service(data_layer: Recording) -> None:
    for name in ("postgres", "postgres-config", "postgres-sync", "postgres-failover"):
        assert "selector" not in data_layer.named("Service", name)["spec"]


def test_patroni_may_change_only_its_own_objects(data_layer: Recording) -> None:
    for rule in data_layer.named("Role", "postgres")["rules"]:
        assert "*" not in rule["verbs"]
        if set(rule["verbs"]) & {"patch", "update", "delete"}:
            assert all(name.startswith("postgres") for name in rule["resourceNames"])


SECRET_SIGNATURE = "4dabf18193072939515e22adb298388d"
"""Marks a value that the Pulumi engine keeps encrypted."""


def test_secrets_are_marked_as_secret_for_pulumi(data_layer: Recording) -> None:
    for secret in data_layer.of_kind("Secret"):
        assert SECRET_SIGNATURE in secret["stringData"]
        assert SECRET_SIGNATURE in secret.get("data", secret["stringData"])


def test_secrets_are_only_in_secret_objects(data_layer: Recording) -> None:
    secrets = [secret["stringData"]["value"] for secret in data_layer.of_kind("Secret")]
    values = {
        value for secret in secrets for key, value in secret.items() if key not in {"ca.crt", "admin-user"}
    }
    assert len(values) > 10
    manifests = repr([inputs for token, _, inputs in data_layer.resources if not token.endswith(":Secret")])
    assert not [value for value in values if value in manifests]


def test_namespaces_enforce_the_restricted_standard(cluster_layer: Recording) -> None:
    namespaces = cluster_layer.of_kind("Namespace")
    assert {resource["metadata"]["name"] for resource in namespaces} == {"esq-data", "esq-services"}
    for resource in namespaces:
        assert resource["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"


def test_data_layer_is_evicted_last(cluster_layer: Recording, data_layer: Recording) -> None:
    values = {
        resource["metadata"]["name"]: resource["value"] for resource in cluster_layer.of_kind("PriorityClass")
    }
    assert values["esq-data"] > values["esq-services"]
    for name in STATEFUL:
        assert data_layer.pods()[f"StatefulSet {name}"]["spec"]["priorityClassName"] == "esq-data"


def test_local_data_layer_fits_its_memory_budget(data_layer: Recording) -> None:
    """Memory requests of all replicas in MiB: the whole platform must fit into 5 GiB."""
    requested = sum(
        int(container["resources"]["requests"]["memory"].removesuffix("Mi"))
        for name in STATEFUL
        for container in data_layer.pods()[f"StatefulSet {name}"]["spec"]["containers"]
    )
    assert 3 * requested <= 2048
