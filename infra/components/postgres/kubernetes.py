"""Postgres under Patroni, with Kubernetes itself as the store of the leader lock.

The Service `postgres` has no selector: the member that holds the lock writes its own address into the
Endpoints of that name, in the same update. `postgres-config`, `postgres-sync` and `postgres-failover` carry
no traffic; they keep the control plane from clearing away the Endpoints in which Patroni keeps its state.

Beside each member runs a pgBackRest server: backups are taken by pods of their own, which show it a
certificate. The log is archived by Postgres itself, and no failure of that ever stops it.

The ConfigMap `postgres-restore` is made by whoever wants a backup restored, and by no layer: while it is
there, a first member does not make a new database cluster but brings that backup back.
"""

from __future__ import annotations

from pathlib import Path

import pulumi
from pulumi_kubernetes.apps import v1 as apps
from pulumi_kubernetes.core import v1 as core
from pulumi_kubernetes.meta import v1 as meta
from pulumi_kubernetes.rbac import v1 as rbac

from infra.components import pod
from infra.components import workload as work
from infra.components.postgres import PostgresArgs, PostgresEndpoints
from infra.names import STATEFUL_REPLICAS, service_dns
from infra.render import pgbackrest
from infra.render import postgres as render

NAME = "postgres"
PODS = "postgres-pods"
REPLICA = "postgres-replica"
ARCHIVE = "postgres-archive"
"""Secret with pgBackRest's file."""
RESTORE = "postgres-restore"
UID = 999
"""`postgres` in the image."""

_STATE = (f"{NAME}-config", f"{NAME}-sync", f"{NAME}-failover")
_LABELS = {**work.labels(NAME), "cluster-name": NAME}


class KubernetesPostgres(pulumi.ComponentResource):
    """Three Patroni members, one per zone.

    Attributes:
        endpoints: where clients reach it.
    """

    endpoints: PostgresEndpoints

    def __init__(self, args: PostgresArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("esq:data:Postgres", NAME, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        config = _config(args)
        secrets = _secrets(args)
        metadata = work.metadata(NAME, args.namespace)
        needs: list[pulumi.Resource] = [
            core.ConfigMap(NAME, metadata=metadata, data=config, opts=child),
            core.Secret(NAME, metadata=metadata, string_data=pulumi.Output.secret(secrets), opts=child),
            # No part of the digest: it is read at each use, and a change must not restart a database.
            core.Secret(
                ARCHIVE,
                metadata=work.metadata(ARCHIVE, args.namespace, NAME),
                string_data=pulumi.Output.secret(_archive(args)),
                opts=child,
            ),
            *_services(args.namespace, child),
            *_account(args.namespace, child),
        ]
        apps.StatefulSet(
            NAME,
            metadata=metadata,
            spec=_stateful_set(args, work.digest(config, secrets)),
            opts=pulumi.ResourceOptions.merge(child, pulumi.ResourceOptions(depends_on=needs)),
        )
        work.disruption_budget(NAME, args.namespace, child)
        self.endpoints = PostgresEndpoints(
            primary=service_dns(NAME, args.namespace),
            replicas=service_dns(REPLICA, args.namespace),
            port=render.PORT,
            database=args.database,
        )
        self.register_outputs({"primary": self.endpoints.primary, "replicas": self.endpoints.replicas})


def _config(args: PostgresArgs) -> dict[str, str]:
    def patroni(*, restoring: bool) -> str:
        return render.patroni(
            scope=NAME,
            labels=work.labels(NAME),
            shared_buffers=args.shared_buffers,
            max_connections=args.max_connections,
            restoring=restoring,
        )

    return {
        "new.yml": patroni(restoring=False),
        "restored.yml": patroni(restoring=True),
        "start.sh": render.start(),
        "member.py": Path(__file__).with_name("member.py").read_text(),
        "pgbackrest-archive.sh": pgbackrest.archive(),
        "restore.sh": render.restore(),
        "post_init.sh": render.post_init(database=args.database, admin=args.admin),
    }


def _archive(args: PostgresArgs) -> dict[str, str]:
    return {"pgbackrest.conf": pgbackrest.member(args.repositories), "vault.crt": args.vault_authority}


def _secrets(args: PostgresArgs) -> dict[str, str]:
    return {
        "superuser": args.credentials.superuser,
        "replication": args.credentials.replication,
        "patroni": args.credentials.patroni,
        "admin": args.credentials.admin,
        "backup": args.credentials.backup,
        "witness": args.credentials.witness,
        "tls.crt": args.certificate.certificate,
        "tls.key": args.certificate.key,
        "ca.crt": args.authority,
    }


def _services(namespace: str, opts: pulumi.ResourceOptions) -> list[pulumi.Resource]:
    port = core.ServicePortArgs(name="postgres", port=render.PORT)

    def service(name: str, spec: core.ServiceSpecArgs, *, await_endpoints: bool = True) -> core.Service:
        metadata = work.metadata(name, namespace, NAME)
        if not await_endpoints:
            # Its endpoints come from pods that are only made after it.
            metadata.annotations = {"pulumi.com/skipAwait": "true"}
        return core.Service(name, metadata=metadata, spec=spec, opts=opts)

    replica = core.ServiceSpecArgs(selector={**_LABELS, "role": "replica"}, ports=[port])
    pods = core.ServiceSpecArgs(
        cluster_ip="None", selector=_LABELS, ports=[port], publish_not_ready_addresses=True
    )
    return [
        service(NAME, core.ServiceSpecArgs(ports=[port])),
        service(REPLICA, replica, await_endpoints=False),
        service(PODS, pods, await_endpoints=False),
        *(service(name, core.ServiceSpecArgs(cluster_ip="None", ports=[port])) for name in _STATE),
    ]


def _account(namespace: str, opts: pulumi.ResourceOptions) -> list[pulumi.Resource]:
    metadata = work.metadata(NAME, namespace)
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
        service_name=PODS,
        replicas=STATEFUL_REPLICAS,
        # All at once: Patroni itself decides who begins, and a lost zone must not hold up the others.
        pod_management_policy="Parallel",
        selector=meta.LabelSelectorArgs(match_labels=_LABELS),
        volume_claim_templates=[work.claim("data", args.storage_class, args.size)],
        template=core.PodTemplateSpecArgs(
            metadata=meta.ObjectMetaArgs(labels=_LABELS, annotations={work.DIGEST_ANNOTATION: digest}),
            spec=core.PodSpecArgs(
                service_account_name=NAME,
                # Patroni's way to the leader lock.
                automount_service_account_token=True,
                priority_class_name=work.CRITICAL,
                security_context=work.confined_pod(UID),
                topology_spread_constraints=work.one_per_zone(NAME),
                affinity=work.never_together(NAME),
                tolerations=work.stay_on_lost_nodes(),
                # A primary ends its last transactions and hands the lock over.
                termination_grace_period_seconds=30,
                containers=[_member(args), _backup_server(args)],
                volumes=[
                    pod.config_files("config", NAME, mode=0o555),
                    # Postgres refuses a key that others may read; root may own it if the group reads only.
                    pod.secret_files("tls", NAME, mode=0o640),
                    pod.secret_files("archive", ARCHIVE),
                    pod.config_files("restore", RESTORE, optional=True),
                    pod.scratch("run", memory=True),
                    pod.scratch("tmp"),
                ],
            ),
        ),
    )


def _member(args: PostgresArgs) -> core.ContainerArgs:
    return core.ContainerArgs(
        name=NAME,
        image=args.image,
        command=["/etc/esq/patroni/start.sh"],
        env=_environment(args.namespace),
        ports=[
            core.ContainerPortArgs(name="postgres", container_port=render.PORT),
            core.ContainerPortArgs(name="patroni", container_port=render.REST_PORT),
        ],
        resources=work.resources(args.size),
        security_context=work.confined_container(),
        # Is this member's loop turning? And: is it the leader, or a standby that is streaming?
        liveness_probe=pod.ask_https("/liveness", render.REST_PORT, period=10, failures=6),
        readiness_probe=pod.ask_https("/readiness", render.REST_PORT, period=5, failures=2),
        volume_mounts=[
            *_mounts(),
            pod.mount("config", "/etc/esq/patroni", read_only=True),
            pod.mount("restore", render.RESTORE, read_only=True),
        ],
    )


def _backup_server(args: PostgresArgs) -> core.ContainerArgs:
    """Return the container through which backups are copied; Postgres does without it."""
    return core.ContainerArgs(
        name="backup",
        image=args.image,
        command=["pgbackrest", "server"],
        env=[pod.env_secret("PGPASSWORD", NAME, "backup")],
        ports=[core.ContainerPortArgs(name="backup", container_port=pgbackrest.SERVER_PORT)],
        resources=work.resources(args.backup_server),
        security_context=work.confined_container(),
        liveness_probe=pod.ask_port(pgbackrest.SERVER_PORT, period=30, failures=4),
        readiness_probe=pod.ask_port(pgbackrest.SERVER_PORT, period=10, failures=6),
        volume_mounts=_mounts(),
    )


def _mounts() -> list[core.VolumeMountArgs]:
    return [
        pod.mount("data", "/var/lib/postgresql/data"),
        pod.mount("tls", "/etc/esq/tls", read_only=True),
        pod.mount("archive", "/etc/pgbackrest", read_only=True),
        pod.mount("run", "/run/postgresql"),
        pod.mount("tmp", "/tmp"),  # noqa: S108 - the pod's own, and the only place besides data it may write
    ]


def _environment(namespace: str) -> list[core.EnvVarArgs]:
    address = f"$(PATRONI_NAME).{service_dns(PODS, namespace)}"
    return [
        pod.env_field("PATRONI_NAME", "metadata.name"),
        pod.env_field("PATRONI_KUBERNETES_NAMESPACE", "metadata.namespace"),
        pod.env_field("PATRONI_KUBERNETES_POD_IP", "status.podIP"),
        # By name, for certificates hold for names.
        pod.env("PATRONI_POSTGRESQL_CONNECT_ADDRESS", f"{address}:{render.PORT}"),
        pod.env("PATRONI_RESTAPI_CONNECT_ADDRESS", f"{address}:{render.REST_PORT}"),
        pod.env("PATRONI_RESTAPI_USERNAME", "patroni"),
        pod.env("PATRONICTL_CONFIG_FILE", "/etc/esq/patroni/new.yml"),
        pod.env_secret("PATRONI_RESTAPI_PASSWORD", NAME, "patroni"),
        pod.env("PATRONI_SUPERUSER_USERNAME", "postgres"),
        pod.env_secret("PATRONI_SUPERUSER_PASSWORD", NAME, "superuser"),
        *_verified("SUPERUSER"),
        pod.env("PATRONI_REPLICATION_USERNAME", "replicator"),
        pod.env_secret("PATRONI_REPLICATION_PASSWORD", NAME, "replication"),
        *_verified("REPLICATION"),
        pod.env_secret("ESQ_ADMIN_PASSWORD", NAME, "admin"),
        pod.env_secret("ESQ_BACKUP_PASSWORD", NAME, "backup"),
        pod.env_secret("ESQ_WITNESS_PASSWORD", NAME, "witness"),
    ]


def _verified(account: str) -> list[core.EnvVarArgs]:
    return [
        pod.env(f"PATRONI_{account}_SSLMODE", "verify-full"),
        pod.env(f"PATRONI_{account}_SSLROOTCERT", "/etc/esq/tls/ca.crt"),
    ]
