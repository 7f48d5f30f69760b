"""Rules for the observability layer: security, replicas, memory, rights, and what is scraped."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from infra.alerts.alert import Source
from infra.alerts.catalog import ALERTS
from infra.components import observability
from infra.components.observability import scraped_metrics
from infra.components.observability.scrape_config import render_scrape_config
from infra.names import NODE_AGENTS_NAMESPACE, OBSERVABILITY_NAMESPACE
from tests.unit.stacks.test_data_layer_rules import explicit_token_mount, image_by_digest, restricted, sized

if TYPE_CHECKING:
    from collections.abc import Callable

    from infra.credentials import Credentials
    from tests.unit.stacks.pulumi_recorder import Recording

Pod = dict[str, Any]
MAX_MEMORY_MIB = 700
"""Of all pods of the layer on `local`."""
ZONES = 3
AGENT = f"DaemonSet {observability.LOG_AGENT}"


def replicas_of(recording: Recording) -> dict[str, int]:
    """Return the number of pods by kind and name, as in `Recording.pods`."""
    counts = {AGENT: ZONES}
    for kind in ("StatefulSet", "Deployment"):
        for inputs in recording.of_kind(kind):
            counts[f"{kind} {inputs['metadata']['name']}"] = inputs["spec"]["replicas"]
    return counts


def secret(recording: Recording, name: str) -> dict[str, str]:
    data: dict[str, str] = recording.named("Secret", name)["stringData"]["value"]
    return data


@pytest.mark.parametrize("rule", [restricted, sized, image_by_digest, explicit_token_mount])
def test_every_pod_but_the_agents_follows_the_rule(
    observability_layer: Recording, rule: Callable[[Pod], None]
) -> None:
    templates = {name: pod for name, pod in observability_layer.pods().items() if name != AGENT}
    assert len(templates) == 5
    for template in templates.values():
        rule(template)


def test_agents_read_logs_as_root_and_can_do_nothing_else(observability_layer: Recording) -> None:
    pod = observability_layer.pods()[AGENT]["spec"]
    (container,) = pod["containers"]
    security = container["securityContext"]
    assert security["readOnlyRootFilesystem"]
    assert not security["allowPrivilegeEscalation"]
    assert security["capabilities"] == {"drop": ["ALL"]}
    host_folders = [volume["name"] for volume in pod["volumes"] if "hostPath" in volume]
    mounts = {mount["name"]: mount for mount in container["volumeMounts"]}
    assert [mounts[name]["readOnly"] for name in host_folders] == [True]


def test_only_the_namespace_of_the_agents_permits_folders_of_nodes(observability_layer: Recording) -> None:
    standards = {
        namespace["metadata"]["name"]: namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"]
        for namespace in observability_layer.of_kind("Namespace")
    }
    assert standards == {OBSERVABILITY_NAMESPACE: "restricted", NODE_AGENTS_NAMESPACE: "privileged"}


def test_memory_of_the_whole_layer_is_bounded(observability_layer: Recording) -> None:
    counts = replicas_of(observability_layer)
    total = sum(
        counts[name] * int(container["resources"]["limits"]["memory"].removesuffix("Mi"))
        for name, pod in observability_layer.pods().items()
        for container in pod["spec"]["containers"]
    )
    assert 0 < total <= MAX_MEMORY_MIB


def test_what_pages_has_a_replica_in_two_zones(observability_layer: Recording) -> None:
    counts = replicas_of(observability_layer)
    for name in (f"StatefulSet {observability.METRICS}", f"StatefulSet {observability.ALERTMANAGER}"):
        assert counts[name] == 2
        pod = observability_layer.pods()[name]["spec"]
        (constraint,) = pod["topologySpreadConstraints"]
        assert (constraint["maxSkew"], constraint["whenUnsatisfiable"]) == (1, "DoNotSchedule")
    budgets = {budget["metadata"]["name"] for budget in observability_layer.of_kind("PodDisruptionBudget")}
    assert {observability.METRICS, observability.ALERTMANAGER} <= budgets


def test_service_accounts_may_only_read(observability_layer: Recording) -> None:
    rules = [rule for role in observability_layer.of_kind("ClusterRole") for rule in role["rules"]]
    assert {verb for rule in rules for verb in rule["verbs"]} == {"get", "list", "watch"}
    assert "secrets" not in {resource for rule in rules for resource in rule.get("resources", ())}


def test_secrets_are_in_no_command_and_no_variable(
    observability_layer: Recording, credentials: Credentials
) -> None:
    values = (credentials.observability.password, credentials.observability.token)
    for pod in observability_layer.pods().values():
        assert not any(value in str(pod) for value in values)


def test_every_server_has_the_password_of_the_layer(observability_layer: Recording) -> None:
    """The gateway has its token instead."""
    for pod in observability_layer.pods().values():
        for container in pod["spec"]["containers"]:
            command = " ".join(container["command"])
            if re.search(r"-httpListenAddr=:", command) and "vmauth" not in command:
                assert "-tls " in command
                assert "-httpAuth.password=file://" in command


def test_rules_and_configuration_of_alertmanager_are_mounted(observability_layer: Recording) -> None:
    rules = yaml.safe_load(secret(observability_layer, observability.METRICS)["rules.yml"])
    names = {rule.get("alert") for group in rules["groups"] for rule in group["rules"]}
    assert {alert.name for alert in ALERTS if alert.source is Source.RULE} <= names
    pages = yaml.safe_load(secret(observability_layer, observability.ALERTMANAGER)["alertmanager.yml"])
    (page,) = (receiver for receiver in pages["receivers"] if receiver["name"] == "page")
    assert [webhook["url"] for webhook in page["webhook_configs"]] == ["http://127.0.0.1:9095/"]


def test_rules_are_evaluated_when_a_new_store_has_seen_every_target_twice(
    observability_layer: Recording,
) -> None:
    pod = observability_layer.pods()[f"StatefulSet {observability.METRICS}"]["spec"]
    (rules,) = (container for container in pod["containers"] if container["name"] == "vmalert")
    shell, _, script, *_ = rules["command"]
    delay = int(re.fullmatch(r'sleep (\d+); exec "\$@"', script)[1])
    assert (shell, delay >= 2 * scraped_metrics.FAST_SECONDS) == ("sh", True)


def test_gateway_passes_on_to_every_part(observability_layer: Recording) -> None:
    document = yaml.safe_load(secret(observability_layer, observability.ALERTMANAGER)["gateway.yml"])
    (user,) = document["users"]
    paths = {route["src_paths"][0].removesuffix("/.*"): route["url_prefix"] for route in user["url_map"]}
    assert set(paths) == set(observability.PATHS.values())
    assert len(paths["/metrics"]) == len(paths["/rules"]) == 2


def test_only_metrics_of_the_table_are_kept() -> None:
    configuration = yaml.safe_load(render_scrape_config())
    by_job = {job.name: job for job in scraped_metrics.JOBS}
    jobs = {}
    for entry in configuration["scrape_configs"]:
        labels = [
            item["replacement"] for item in entry["relabel_configs"] if item.get("target_label") == "job"
        ]
        job = by_job[labels[0] if labels else entry["job_name"]]
        rule = entry["metric_relabel_configs"][0]
        assert (rule["action"], set(rule["regex"].split("|"))) == ("keep", set(job.metrics or ("^$",)))
        assert entry["scrape_interval"] == f"{job.interval_seconds}s"
        jobs[job.name] = entry
    assert set(jobs) == set(by_job)


def test_no_metric_is_named_twice_in_a_job() -> None:
    for job in scraped_metrics.JOBS:
        assert len(set(job.metrics)) == len(job.metrics), job.name
