"""Configuration of the scrapes: targets by Kubernetes service discovery, metrics by the table.

Every certificate of the environment is also valid for `localhost`, so that targets can be verified that are
addressed by IP address.
"""

from __future__ import annotations

from typing import Any

import yaml

from infra.components import backup, observability
from infra.components.observability import ACCOUNT, CONFIGURATION, FILES, scraped_metrics
from infra.components.pod_programs import probe_server
from infra.config_files import garage, postgres
from infra.names import (
    DATA_NAMESPACE,
    DNS_HEALTH_PORT_LABEL,
    NODE_AGENTS_NAMESPACE,
    OBSERVABILITY_NAMESPACE,
    SERVICES_NAMESPACE,
    ZONE_LABEL,
)
from services.contracts.endpoints import HTTP_PORT

OBJECT_STORE_CLIENT_FOLDER = "/etc/esq/object-store-client"
"""Folder with the certificate for the admin API of the object store."""
_NOTHING = "^$"
"""Pattern of no name."""
_TIMEOUT_SHARE = 0.6
"""Timeout of a scrape as a share of its interval."""
_SERVICE_ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"
_CLUSTER_CA = f"{_SERVICE_ACCOUNT}/ca.crt"
_CLUSTER_LOGIN = {"credentials_file": f"{_SERVICE_ACCOUNT}/token"}
_ENVIRONMENT_TLS = {"ca_file": f"{FILES}/ca.crt", "server_name": "localhost"}
_LAYER_LOGIN = {"username": ACCOUNT, "password_file": f"{FILES}/password"}
_NAME_LABEL = "__meta_kubernetes_pod_label_app_kubernetes_io_name"
_NODE_ZONE = f"__meta_kubernetes_node_label_{ZONE_LABEL.translate(str.maketrans('./', '__'))}"
_LAYER_CONTAINERS = "gateway|victoria-metrics|vmalert|victoria-logs|traces|log-agent"
"""Containers of the layer that serve metrics of themselves."""


def render_scrape_config() -> str:
    """Return the configuration of VictoriaMetrics' scraper."""
    jobs = [
        _pods(scraped_metrics.SERVICES, SERVICES_NAMESPACE, container="main", port=HTTP_PORT),
        _pods(scraped_metrics.POSTGRES, DATA_NAMESPACE, container="postgres", port=postgres.REST_PORT),
        _pods(scraped_metrics.REDIS, DATA_NAMESPACE, container="probe-server", workload="redis"),
        _pods(scraped_metrics.KAFKA, DATA_NAMESPACE, container="probe-server", workload="kafka"),
        _object_store(),
        _backup(),
        _object_state(),
        _containers(),
        _kubelet(scraped_metrics.KUBELET, "/metrics"),
        _api_server(scraped_metrics.API_SERVER, metrics_path="/livez"),
        _api_server(scraped_metrics.API_SERVER_METRICS, stream_parse=True),
        _node_dns(),
        _pod_dns(),
        _layer(),
        _alertmanager(),
    ]
    return str(yaml.safe_dump({"scrape_configs": jobs}, sort_keys=False, width=1000))


def _job(job: scraped_metrics.Job, suffix: str = "", **options: Any) -> dict[str, Any]:  # noqa: ANN401 - any option
    """Return a scrape configuration that keeps the metrics of the table."""
    return {
        "job_name": f"{job.name}{suffix}",
        "scrape_interval": f"{job.interval_seconds}s",
        "scrape_timeout": f"{job.interval_seconds * _TIMEOUT_SHARE:g}s",
        "scheme": "https",
        **options,
        "metric_relabel_configs": [
            {"source_labels": ["__name__"], "action": "keep", "regex": "|".join(job.metrics) or _NOTHING}
        ],
    }


def _pods(
    job: scraped_metrics.Job,
    namespace: str,
    *,
    container: str,
    port: int = probe_server.PORT,
    workload: str = "",
) -> dict[str, Any]:
    """Return the job of a container of pods, at a port that it need not declare."""
    return _job(
        job,
        tls_config=_ENVIRONMENT_TLS,
        kubernetes_sd_configs=[_discovery("pod", namespace)],
        relabel_configs=[
            *_running(),
            _require("__meta_kubernetes_pod_container_name", container),
            *([_require(_NAME_LABEL, workload)] if workload else []),
            {
                "source_labels": ["__meta_kubernetes_pod_ip"],
                "target_label": "__address__",
                "replacement": f"$1:{port}",
            },
            *_pod_labels(),
        ],
    )


def _object_store() -> dict[str, Any]:
    job = _pods(scraped_metrics.OBJECT_STORE, DATA_NAMESPACE, container="garage", port=garage.ADMIN_PORT)
    client = {
        "cert_file": f"{OBJECT_STORE_CLIENT_FOLDER}/tls.crt",
        "key_file": f"{OBJECT_STORE_CLIENT_FOLDER}/tls.key",
    }
    return {**job, "tls_config": {**_ENVIRONMENT_TLS, **client}}


def _backup() -> dict[str, Any]:
    """Return the job of the backup verifier, whose certificate is that of a client: it names no server."""
    job = _pods(scraped_metrics.BACKUP, DATA_NAMESPACE, container="main", workload=backup.VERIFIER)
    return {**job, "tls_config": {"insecure_skip_verify": True}}


def _object_state() -> dict[str, Any]:
    """Return the job of the exporter of object states, whose samples have their own labels of pods."""
    job = _pods(
        scraped_metrics.OBJECT_STATE,
        OBSERVABILITY_NAMESPACE,
        container=observability.OBJECT_STATE,
        port=observability.OBJECT_STATE_PORT,
    )
    return {**job, "honor_labels": True, "basic_auth": _LAYER_LOGIN}


def _containers() -> dict[str, Any]:
    """Return the job of the containers' resources, without groups of containers and without ids."""
    job = _kubelet(scraped_metrics.CONTAINERS, "/metrics/cadvisor")
    only_containers = [_require("container", ".+"), {"action": "labeldrop", "regex": "id|image|name"}]
    return {**job, "metric_relabel_configs": [*job["metric_relabel_configs"], *only_containers]}


def _kubelet(job: scraped_metrics.Job, path: str) -> dict[str, Any]:
    return _job(
        job,
        metrics_path=path,
        honor_timestamps=False,
        # Otherwise all samples of a page are in memory before most of them are dropped.
        stream_parse=True,
        tls_config={"ca_file": _CLUSTER_CA},
        authorization=_CLUSTER_LOGIN,
        kubernetes_sd_configs=[{"role": "node"}],
        relabel_configs=_node_labels(),
    )


def _api_server(job: scraped_metrics.Job, **options: Any) -> dict[str, Any]:  # noqa: ANN401 - any option
    names = ["__meta_kubernetes_service_name", "__meta_kubernetes_endpoint_port_name"]
    return _job(
        job,
        tls_config={"ca_file": _CLUSTER_CA, "server_name": "kubernetes"},
        authorization=_CLUSTER_LOGIN,
        kubernetes_sd_configs=[_discovery("endpoints", "default")],
        relabel_configs=[{"source_labels": names, "action": "keep", "regex": "kubernetes;https"}],
        **options,
    )


def _node_dns() -> dict[str, Any]:
    """Return the job of DNS servers that are no pods: their health check, a page without samples."""
    label = f"__meta_kubernetes_node_label_{DNS_HEALTH_PORT_LABEL.translate(str.maketrans('/-', '__'))}"
    address = {
        "source_labels": ["__meta_kubernetes_node_address_InternalIP", label],
        "separator": ":",
        "target_label": "__address__",
    }
    return _job(
        scraped_metrics.DNS,
        scheme="http",
        metrics_path="/health",
        kubernetes_sd_configs=[{"role": "node"}],
        relabel_configs=[_require(label, r"\d+"), address, *_node_labels()],
    )


def _pod_dns() -> dict[str, Any]:
    return _job(
        scraped_metrics.DNS,
        "-pods",
        scheme="http",
        kubernetes_sd_configs=[_discovery("pod", "kube-system")],
        relabel_configs=[
            _require("__meta_kubernetes_pod_label_k8s_app", "kube-dns"),
            _require("__meta_kubernetes_pod_container_port_name", "metrics"),
            *_pod_labels(),
            _job_label(scraped_metrics.DNS),
        ],
    )


def _layer() -> dict[str, Any]:
    discoveries = [_discovery("pod", OBSERVABILITY_NAMESPACE), _discovery("pod", NODE_AGENTS_NAMESPACE)]
    return _job(
        scraped_metrics.LAYER,
        tls_config=_ENVIRONMENT_TLS,
        basic_auth=_LAYER_LOGIN,
        kubernetes_sd_configs=discoveries,
        relabel_configs=[
            *_running(),
            _require("__meta_kubernetes_pod_container_name", _LAYER_CONTAINERS),
            *_pod_labels(),
        ],
    )


def _alertmanager() -> dict[str, Any]:
    """Return the job of Alertmanager, which is reached through the gateway in its pod."""
    job = _pods(
        scraped_metrics.LAYER,
        OBSERVABILITY_NAMESPACE,
        container=observability.GATEWAY,
        port=observability.GATEWAY_PORT,
    )
    return {
        **job,
        "job_name": f"{scraped_metrics.LAYER.name}-alertmanager",
        "metrics_path": f"{observability.PATHS[observability.ALERTMANAGER]}/metrics",
        "authorization": {"credentials_file": f"{CONFIGURATION}/token"},
        "relabel_configs": [*job["relabel_configs"], _job_label(scraped_metrics.LAYER)],
    }


def _job_label(job: scraped_metrics.Job) -> dict[str, Any]:
    return {"target_label": "job", "replacement": job.name}


def _discovery(role: str, namespace: str) -> dict[str, Any]:
    discovery: dict[str, Any] = {"role": role, "namespaces": {"names": [namespace]}}
    return {**discovery, "attach_metadata": {"node": True}} if role == "pod" else discovery


def _running() -> list[dict[str, Any]]:
    """Return the rule that pods of Jobs that ended are no targets."""
    return [
        {"source_labels": ["__meta_kubernetes_pod_phase"], "action": "drop", "regex": "Succeeded|Failed"},
        _require(_NAME_LABEL, ".+"),
    ]


def _require(label: str, pattern: str) -> dict[str, Any]:
    return {"source_labels": [label], "action": "keep", "regex": pattern}


def _pod_labels() -> list[dict[str, Any]]:
    return [
        _copy("__meta_kubernetes_namespace", "namespace"),
        _copy("__meta_kubernetes_pod_name", "pod"),
        _copy(_NAME_LABEL, "service"),
        _copy(_NODE_ZONE, "zone"),
    ]


def _node_labels() -> list[dict[str, Any]]:
    return [_copy("__meta_kubernetes_node_name", "node"), _copy(_NODE_ZONE, "zone")]


def _copy(source: str, target: str) -> dict[str, Any]:
    return {"source_labels": [source], "target_label": target}
