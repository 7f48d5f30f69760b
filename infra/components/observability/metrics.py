"""VictoriaMetrics, and vmalert beside each: a pair needs nothing of another zone to find that one is lost."""

from __future__ import annotations

from typing import TYPE_CHECKING

from infra.alerts.rules import render_rules
from infra.components import observability, pod_spec
from infra.components.observability import parts
from infra.components.observability.scrape_config import OBJECT_STORE_CLIENT_FOLDER, render_scrape_config
from infra.components.observability.scraped_metrics import FAST_SECONDS
from infra.names import pod_dns

if TYPE_CHECKING:
    from infra.components.observability import ObservabilityArgs

OBJECT_STORE_CLIENT = "object-store-client"
"""Secret with the certificate for the admin API of the object store."""
RULES_DELAY_SECONDS = 3 * FAST_SECONDS
"""A store that has just started has seen some replicas of a server and not yet the others: a rule would find
that there is no primary. After two intervals of the scrapes it knows all."""
_AFTER_FIRST_SCRAPES = ("sh", "-c", f'sleep {RULES_DELAY_SECONDS}; exec "$@"', "sh")
_HEAP_SHARE = 0.55
"""A third of the memory is outside of the heap of Go: caches and buffers of the storage."""
_CACHE = "-memory.allowedPercent=20"
"""Of the memory limit."""


def part(args: ObservabilityArgs) -> parts.Part:
    """Return the workload."""
    server = parts.container(
        observability.METRICS,
        args.image,
        _server_command(args),
        args.sizes.metrics,
        port=observability.METRICS_PORT,
        has_data=True,
    )
    server.env = [parts.go_memory_limit(args.sizes.metrics, _HEAP_SHARE)]
    client = pod_spec.mount("object-store-client", OBJECT_STORE_CLIENT_FOLDER, read_only=True)
    server.volume_mounts = [*parts.mounts(), pod_spec.mount("data", parts.DATA), client]
    rules = parts.container(
        "vmalert", args.image, _rules_command(args), args.sizes.rules, port=observability.RULES_PORT
    )
    return parts.Part(
        observability.METRICS,
        [server, rules],
        {
            "scrape.yml": render_scrape_config(),
            "rules.yml": render_rules(args.environment),
            "token": args.token,
        },
        {"https": observability.METRICS_PORT, "rules": observability.RULES_PORT},
        storage=args.sizes.metrics,
        replicas=observability.REPLICAS,
        volumes=[pod_spec.secret_files("object-store-client", OBJECT_STORE_CLIENT)],
        reads_cluster=True,
    )


def _server_command(args: ObservabilityArgs) -> list[str]:
    return [
        "victoria-metrics",
        f"-httpListenAddr=:{observability.METRICS_PORT}",
        *parts.SERVER_OPTIONS,
        f"-storageDataPath={parts.DATA}/metrics",
        f"-retentionPeriod={args.settings.metrics_retention_days}d",
        # Below this it accepts no samples, instead of filling the disk.
        "-storage.minFreeDiskSpaceBytes=256MB",
        f"-promscrape.config={observability.CONFIGURATION}/scrape.yml",
        "-promscrape.suppressDuplicateScrapeTargetErrors",
        # The page of targets has the last error of each; the log would have one every five seconds.
        "-promscrape.suppressScrapeErrors",
        # Queries see the samples of the last second, not those of 30 s ago.
        "-search.latencyOffset=1s",
        "-search.maxConcurrentRequests=2",
        _CACHE,
    ]


def _rules_command(args: ObservabilityArgs) -> list[str]:
    metrics = f"https://localhost:{observability.METRICS_PORT}"
    alertmanager = f"{observability.GATEWAY_PORT}{observability.PATHS[observability.ALERTMANAGER]}"
    notifiers = [
        f"-notifier.url=https://{host}:{alertmanager}" for host in alertmanager_hosts(args.namespace)
    ]
    return [
        *_AFTER_FIRST_SCRAPES,
        "vmalert",
        f"-httpListenAddr=:{observability.RULES_PORT}",
        *parts.SERVER_OPTIONS,
        f"-rule={observability.CONFIGURATION}/rules.yml",
        *(f"-{client}.url={metrics}" for client in ("datasource", "remoteWrite", "remoteRead")),
        *parts.client_options("datasource", "remoteWrite", "remoteRead"),
        *notifiers,
        *(f"-notifier.tlsCAFile={observability.FILES}/ca.crt" for _ in notifiers),
        *(f"-notifier.bearerTokenFile={observability.CONFIGURATION}/token" for _ in notifiers),
        # By default it evaluates what was measured 30 s ago.
        "-rule.evalDelay=1s",
        "-rule.resendDelay=10s",
        f"-external.label=environment={args.environment}",
    ]


def alertmanager_hosts(namespace: str) -> list[str]:
    """Return the DNS names of the pods with Alertmanager."""
    name = observability.ALERTMANAGER
    return [pod_dns(f"{name}-{ordinal}", name, namespace) for ordinal in range(observability.REPLICAS)]


def metrics_hosts(namespace: str) -> list[str]:
    """Return the DNS names of the pods with VictoriaMetrics and vmalert."""
    name = observability.METRICS
    return [pod_dns(f"{name}-{ordinal}", name, namespace) for ordinal in range(observability.REPLICAS)]
