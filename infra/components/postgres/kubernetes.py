"""Postgres under Patroni, with Kubernetes as the store of the leader lock.

The Service `postgres` has no selector: the member with the lock writes its own address into the Endpoints of
that name, in the same update. `postgres-config`, `postgres-sync` and `postgres-failover` carry no traffic;
they prevent the control plane from deleting the Endpoints in which Patroni stores its state.

A pgBackRest server runs beside each member: separate pods take the backups and authenticate with a
certificate. Postgres itself archives the WAL, and no archiving failure stops it.

Accounts log in by generation (infra/config_files/postgres_accounts.py), also those of the members: one member
after another changes to a new generation while the others use the old one.

New credentials restart nothing (ADR 49). Members read the Secret's files again and publish the digest of what
they applied, which the health of the component compares with the Secret's. A pod stops after its primary has
handed over, and the next one only when the primary waits for the restarted standby again.

The ConfigMap `postgres-recovery-target` is created by a restore, not by a layer: while it exists, a first
member restores that backup instead of creating a new database cluster.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pulumi
from pulumi_kubernetes.apps import v1 as apps
from pulumi_kubernetes.core import v1 as core
from pulumi_kubernetes.meta import v1 as meta
from pulumi_kubernetes.rbac import v1 as rbac

from infra.components import pod_spec, workload
from infra.components.postgres import PostgresArgs, PostgresEndpoints
from infra.config_files import pgbackrest, postgres_accounts
from infra.config_files import postgres as postgres_config
from infra.names import (
    DIGEST_ANNOTATION,
    REPLICATION_ROLE,
    REWIND_ROLE,
    STATEFUL_REPLICAS,
    login_role,
    service_dns,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

NAME = "postgres"
HEADLESS_SERVICE = "postgres-pods"
REPLICA_SERVICE = "postgres-replica"
ARCHIVE_SECRET = "postgres-archive"  # noqa: S105 - a name
"""Secret with the configuration of pgBackRest."""
RECOVERY_TARGET_CONFIG_MAP = "postgres-recovery-target"
MIN_READY_SECONDS = 2 * postgres_config.LOOP_WAIT
"""The primary counts a returned standby in the next pass of its loop; no commit waits for it before."""
TLS_FILES = {name: name for name in ("tls.crt", "tls.key", "ca.crt")}
UID = 999
"""`postgres` in the image."""

_ACCOUNT_FILES = {name: name for name in ("accounts.sql", "authentication.yml")}
_STATE = (f"{NAME}-config", f"{NAME}-sync", f"{NAME}-failover")
_STRICT_PATRONI = Path(__file__).with_name("pod_programs") / "strict_patroni.py"
_LABELS = {**workload.labels(NAME), "cluster-name": NAME}


class KubernetesPostgres(pulumi.ComponentResource):
    """Three Patroni members, one per zone.

    Attributes:
        endpoints: endpoints for clients.
    """

    endpoints: PostgresEndpoints

    def __init__(self, args: PostgresArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("esq:data:Postgres", NAME, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        config = _config(args)
        secrets = _secrets(args)
        metadata = workload.metadata(NAME, args.namespace)
        prerequisites: list[pulumi.Resource] = [
            core.ConfigMap(NAME, metadata=metadata, data=config, opts=child),
            core.Secret(
                NAME,
                metadata=_secret_metadata(args.namespace, secrets),
                string_data=pulumi.Output.secret(secrets),
                opts=child,
            ),
            # Not in the digest: it is read at each use, and a change must not restart a database.
            core.Secret(
                ARCHIVE_SECRET,
                metadata=workload.metadata(ARCHIVE_SECRET, args.namespace, NAME),
                string_data=pulumi.Output.secret(_archive(args)),
                opts=child,
            ),
            *_services(args.namespace, child),
            *_service_account(args.namespace, child),
        ]
        apps.StatefulSet(
            NAME,
            metadata=metadata,
            spec=_stateful_set(args, workload.digest(config)),
            opts=pulumi.ResourceOptions.merge(child, pulumi.ResourceOptions(depends_on=prerequisites)),
        )
        workload.disruption_budget(NAME, args.namespace, child)
        self.endpoints = PostgresEndpoints(
            primary=service_dns(NAME, args.namespace),
            replicas=service_dns(REPLICA_SERVICE, args.namespace),
            port=postgres_config.PORT,
            database=args.database,
        )
        self.register_outputs({"primary": self.endpoints.primary, "replicas": self.endpoints.replicas})


def _config(args: PostgresArgs) -> dict[str, str]:
    def patroni_yaml(*, restore: bool) -> str:
        return postgres_config.render_patroni_yaml(
            scope=NAME,
            labels=workload.labels(NAME),
            shared_buffers=args.shared_buffers,
            max_connections=args.max_connections,
            restore=restore,
        )

    return {
        "new.yml": patroni_yaml(restore=False),
        "restored.yml": patroni_yaml(restore=True),
        "start.sh": postgres_config.render_start_script(),
        "stop.sh": postgres_config.render_stop_script(),
        "backup_server.sh": pgbackrest.render_server_script(
            [f"{postgres_config.TLS_DIRECTORY}/{name}" for name in TLS_FILES]
        ),
        "strict_patroni.py": _STRICT_PATRONI.read_text(),
        "pgbackrest-archive.sh": pgbackrest.render_archive_script(),
        "restore.sh": postgres_config.render_restore_script(),
        "post_init.sh": postgres_config.render_post_init_script(database=args.database),
        "accounts.sh": postgres_accounts.render_accounts_script(
            postgres_config.ACCOUNTS_FILE, "/etc/esq/patroni/database.sql"
        ),
        "database.sql": postgres_accounts.render_database_sql(args.database),
    }


def _archive(args: PostgresArgs) -> dict[str, str]:
    return {
        "pgbackrest.conf": pgbackrest.render_member_config(args.repositories),
        "offsite-store.crt": args.offsite_ca_certificate,
    }


def _secrets(args: PostgresArgs) -> dict[str, str]:
    passwords = args.credentials
    members = {
        "replication": (login_role(REPLICATION_ROLE, args.generation), passwords.replication),
        "rewind": (login_role(REWIND_ROLE, args.generation), passwords.rewind),
    }
    return {
        "authentication.yml": postgres_config.render_authentication_yaml(members, passwords.patroni),
        "verifier": passwords.backup_verifier,
        "accounts.sql": postgres_accounts.render_accounts_sql(args.logins),
        "tls.crt": args.certificate.certificate,
        "tls.key": args.certificate.key,
        "ca.crt": args.ca_bundle,
    }


def _secret_metadata(namespace: str, secrets: Mapping[str, str]) -> meta.ObjectMetaArgs:
    """Return metadata with the digest that a member publishes once it has applied the files."""
    metadata = workload.metadata(NAME, namespace)
    names = [Path(file).name for file in postgres_config.RELOADED_FILES]
    metadata.annotations = {DIGEST_ANNOTATION: workload.digest({name: secrets[name] for name in names})}
    return metadata


def _services(namespace: str, opts: pulumi.ResourceOptions) -> list[pulumi.Resource]:
    port = core.ServicePortArgs(name="postgres", port=postgres_config.PORT)

    def _service(name: str, spec: core.ServiceSpecArgs, *, wait_for_endpoints: bool = True) -> core.Service:
        metadata = workload.metadata(name, namespace, NAME)
        if not wait_for_endpoints:
            # Its endpoints come from pods that are created after it.
            metadata.annotations = {"pulumi.com/skipAwait": "true"}
        return core.Service(name, metadata=metadata, spec=spec, opts=opts)

    replica = core.ServiceSpecArgs(selector={**_LABELS, "role": "replica"}, ports=[port])
    pods = core.ServiceSpecArgs(
        cluster_ip="None", selector=_LABELS, ports=[port], publish_not_ready_addresses=True
    )
    return [
        _service(NAME, core.ServiceSpecArgs(ports=[port])),
        _service(REPLICA_SERVICE, replica, wait_for_endpoints=False),
        _service(HEADLESS_SERVICE, pods, wait_for_endpoints=False),
        *(_service(name, core.ServiceSpecArgs(cluster_ip="None", ports=[port])) for name in _STATE),
    ]


def _service_account(namespace: str, opts: pulumi.ResourceOptions) -> list[pulumi.Resource]:
    metadata = workload.metadata(NAME, namespace)
    members = [f"{NAME}-{ordinal}" for ordinal in range(STATEFUL_REPLICAS)]
    rules = [
        rbac.PolicyRuleArgs(api_groups=[""], resources=["endpoints"], verbs=["create", "list", "watch"]),
        rbac.PolicyRuleArgs(
            api_groups=[""],
            resources=["endpoints"],
            resource_names=[NAME, *_STATE],
            verbs=["get", "patch", "update", "delete"],
        ),
        rbac.PolicyRuleArgs(api_groups=[""], resources=["pods"], verbs=["list", "watch"]),
        rbac.PolicyRuleArgs(
            api_groups=[""], resources=["pods"], resource_names=members, verbs=["get", "patch", "update"]
        ),
    ]
    subject = rbac.SubjectArgs(kind="ServiceAccount", name=NAME, namespace=namespace)
    reference = rbac.RoleRefArgs(api_group="rbac.authorization.k8s.io", kind="Role", name=NAME)
    return [
        core.ServiceAccount(NAME, metadata=metadata, automount_service_account_token=False, opts=opts),
        rbac.Role(NAME, metadata=metadata, rules=rules, opts=opts),
        rbac.RoleBinding(NAME, metadata=metadata, subjects=[subject], role_ref=reference, opts=opts),
    ]


def _stateful_set(args: PostgresArgs, digest: str) -> apps.StatefulSetSpecArgs:
    return apps.StatefulSetSpecArgs(
        service_name=HEADLESS_SERVICE,
        replicas=STATEFUL_REPLICAS,
        # Concurrently: Patroni itself selects the first member, and a lost zone must not block the others.
        pod_management_policy="Parallel",
        min_ready_seconds=MIN_READY_SECONDS,
        selector=meta.LabelSelectorArgs(match_labels=_LABELS),
        volume_claim_templates=[workload.volume_claim_template("data", args.storage_class, args.size)],
        template=core.PodTemplateSpecArgs(
            metadata=meta.ObjectMetaArgs(labels=_LABELS, annotations={DIGEST_ANNOTATION: digest}),
            spec=core.PodSpecArgs(
                service_account_name=NAME,
                # Patroni accesses the leader lock with it.
                automount_service_account_token=True,
                priority_class_name=workload.DATA_PRIORITY_CLASS,
                security_context=workload.restricted_pod_security(UID),
                topology_spread_constraints=workload.zone_topology_spread(NAME),
                affinity=workload.replica_affinity(NAME, args.zones),
                tolerations=workload.tolerate_lost_node(),
                # A primary finishes its last transactions and transfers the lock.
                termination_grace_period_seconds=30,
                containers=[_member(args), _backup_server(args)],
                volumes=[
                    pod_spec.config_files("config", NAME, mode=0o555),
                    # Postgres rejects a key that others can read; root may own it if the group can only read.
                    pod_spec.secret_files("tls", NAME, mode=0o640, paths=TLS_FILES),
                    pod_spec.secret_files("accounts", NAME, paths=_ACCOUNT_FILES),
                    pod_spec.secret_files("archive", ARCHIVE_SECRET),
                    pod_spec.config_files("recovery-target", RECOVERY_TARGET_CONFIG_MAP, optional=True),
                    pod_spec.empty_dir("run", in_memory=True),
                    pod_spec.empty_dir("tmp"),
                ],
            ),
        ),
    )


def _member(args: PostgresArgs) -> core.ContainerArgs:
    return core.ContainerArgs(
        name=NAME,
        image=args.image,
        command=["/etc/esq/patroni/start.sh"],
        env=_environment(args),
        lifecycle=core.LifecycleArgs(
            pre_stop=core.LifecycleHandlerArgs(
                exec_=core.ExecActionArgs(command=["/etc/esq/patroni/stop.sh"])
            )
        ),
        ports=[
            core.ContainerPortArgs(name="postgres", container_port=postgres_config.PORT),
            core.ContainerPortArgs(name="patroni", container_port=postgres_config.REST_PORT),
        ],
        resources=workload.resources(args.size),
        security_context=workload.restricted_container_security(),
        # Liveness: Patroni's loop runs. Readiness: the member is the leader or a streaming standby.
        liveness_probe=pod_spec.https_probe("/liveness", postgres_config.REST_PORT, period=10, failures=6),
        readiness_probe=pod_spec.https_probe("/readiness", postgres_config.REST_PORT, period=5, failures=2),
        volume_mounts=[
            *_mounts(),
            pod_spec.mount("accounts", postgres_config.ACCOUNTS_DIRECTORY, read_only=True),
            pod_spec.mount("recovery-target", postgres_config.RECOVERY_TARGET_DIRECTORY, read_only=True),
        ],
    )


def _backup_server(args: PostgresArgs) -> core.ContainerArgs:
    """Return the container through which backups are copied; Postgres works without it."""
    return core.ContainerArgs(
        name="backup",
        image=args.image,
        command=["/etc/esq/patroni/backup_server.sh"],
        ports=[core.ContainerPortArgs(name="backup", container_port=pgbackrest.SERVER_PORT)],
        resources=workload.resources(args.backup_server),
        security_context=workload.restricted_container_security(),
        liveness_probe=pod_spec.tcp_probe(pgbackrest.SERVER_PORT, period=30, failures=4),
        readiness_probe=pod_spec.tcp_probe(pgbackrest.SERVER_PORT, period=10, failures=6),
        volume_mounts=_mounts(),
    )


def _mounts() -> list[core.VolumeMountArgs]:
    return [
        pod_spec.mount("data", "/var/lib/postgresql/data"),
        pod_spec.mount("config", "/etc/esq/patroni", read_only=True),
        pod_spec.mount("tls", postgres_config.TLS_DIRECTORY, read_only=True),
        pod_spec.mount("archive", "/etc/pgbackrest", read_only=True),
        pod_spec.mount("run", "/run/postgresql"),
        pod_spec.mount("tmp", "/tmp"),  # noqa: S108 - the pod's own, and the only writable folder besides data
    ]


def _environment(args: PostgresArgs) -> list[core.EnvVarArgs]:
    address = f"$(PATRONI_NAME).{service_dns(HEADLESS_SERVICE, args.namespace)}"
    return [
        pod_spec.env_field("PATRONI_NAME", "metadata.name"),
        pod_spec.env_field("PATRONI_KUBERNETES_NAMESPACE", "metadata.namespace"),
        pod_spec.env_field("PATRONI_KUBERNETES_POD_IP", "status.podIP"),
        # By name, because certificates contain names.
        pod_spec.env("PATRONI_POSTGRESQL_CONNECT_ADDRESS", f"{address}:{postgres_config.PORT}"),
        pod_spec.env("PATRONI_RESTAPI_CONNECT_ADDRESS", f"{address}:{postgres_config.REST_PORT}"),
        pod_spec.env("PATRONICTL_CONFIG_FILE", postgres_config.PATRONI_DIRECTORY),
    ]
