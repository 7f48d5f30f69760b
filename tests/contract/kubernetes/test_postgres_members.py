"""Two real members of the database cluster: they load rotated credentials, and hand over before a stop.

Patroni, Postgres, the scripts of the pod and the API server are real; there is no kubelet.
"""

from __future__ import annotations

import subprocess
import threading
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

import psycopg2
import pytest

from infra.components.postgres.pod_programs.strict_patroni import CREDENTIALS_TAG, credentials_digest
from infra.credentials import complete_credentials
from infra.credentials_rotation import next_phase
from infra.names import DATABASE, PROBE_ROLE, login_role
from tests.servers.patroni import PatroniMember
from tests.servers.process import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kubernetes import client

    from infra.credentials import Credentials
    from tests.servers.apiserver import ApiServer

pytestmark = [
    pytest.mark.contract,
    # The Kubernetes client calls what urllib3 is about to remove.
    pytest.mark.filterwarnings("ignore:HTTPResponse.getheaders:DeprecationWarning"),
]
TIMEOUT_SECONDS = 60.0
INSERT = "INSERT INTO esq_chaos.writes (run, sequence) VALUES ('test', %s)"


class DatabaseCluster:
    """The members, and the credentials that their files have."""

    def __init__(self, members: list[PatroniMember], credentials: Credentials) -> None:
        self.members = members
        self.write_credentials(credentials)

    def write_credentials(self, credentials: Credentials) -> None:
        """Replace the files of all members."""
        self.credentials = credentials
        for member in self.members:
            member.write_credentials(credentials)

    @property
    def primary(self) -> PatroniMember:
        """The member with the lock."""
        reported = self.members[0].cluster()
        return next(member for member in self.members if reported[member.name]["role"] == "leader")

    def is_healthy(self) -> bool:
        """Return whether one member leads, the other one confirms commits, and both have applied the files."""
        reported = self.members[0].cluster()
        states = sorted((member["role"], member["state"]) for member in reported.values())
        applied = {name: member.get("tags", {}).get(CREDENTIALS_TAG) for name, member in reported.items()}
        declared = {member.name: credentials_digest(member.credential_files) for member in self.members}
        return states == [("leader", "running"), ("quorum_standby", "streaming")] and applied == declared

    def wait_until_healthy(self) -> None:
        """Wait until it is healthy."""
        try:
            wait_until("healthy members with applied credentials", self.is_healthy, TIMEOUT_SECONDS)
        except TimeoutError as error:
            logs = "\n".join(member.tail() for member in self.members)
            raise TimeoutError(f"{error}\n{logs}") from None

    def connect(
        self, member: PatroniMember, credentials: Credentials | None = None
    ) -> psycopg2.extensions.connection:
        """Log in as the experiments do and verify the certificate; by default with the used credentials."""
        used = credentials or self.credentials
        return psycopg2.connect(
            host="127.0.0.1",
            port=member.port,
            dbname=DATABASE,
            user=login_role(PROBE_ROLE, used.generation),
            password=used.postgres.probe,
            sslmode="verify-full",
            sslrootcert=str(member.folder / "tls/ca.crt"),
            connect_timeout=5,
        )


@pytest.fixture
def cluster(server: ApiServer, core: client.CoreV1Api, namespace: str) -> Iterator[DatabaseCluster]:
    members = [PatroniMember(f"postgres-{ordinal}", namespace, server.kubeconfig) for ordinal in range(2)]
    try:
        started = DatabaseCluster(members, next_phase(complete_credentials()))
        for member in members:
            labels = {"app": "postgres", "cluster-name": "postgres"}
            pod = {
                "metadata": {"name": member.name, "labels": labels},
                "spec": {"containers": [{"name": "postgres", "image": "never-runs"}]},
            }
            core.create_namespaced_pod(namespace, pod)
            member.start()
        started.wait_until_healthy()
        yield started
    finally:
        for member in members:
            member.stop()


class Writer:
    """Writes on one connection until it is stopped."""

    def __init__(self, connection: psycopg2.extensions.connection, first: int) -> None:
        self._connection, self._first = connection, first
        self.errors: list[str] = []
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._write)
        self._thread.start()

    def _write(self) -> None:
        self._connection.autocommit = True
        sequence = self._first
        try:
            with self._connection.cursor() as cursor:
                while not self._stopped.wait(0.02):
                    cursor.execute(INSERT, (sequence,))
                    sequence += 1
        except psycopg2.Error as error:
            self.errors.append(str(error))

    def stop(self) -> None:
        """Stop after the present write."""
        self._stopped.set()
        self._thread.join()


@contextmanager
def writing(cluster: DatabaseCluster, first: int = 0) -> Iterator[None]:
    """Write on one connection to the primary while the block runs; no write may fail."""
    with closing(cluster.connect(cluster.primary)) as connection:
        writer = Writer(connection, first)
        try:
            yield
        finally:
            writer.stop()
        assert writer.errors == []


def test_rotation_restarts_nothing_and_primary_hands_over_before_it_stops(cluster: DatabaseCluster) -> None:
    primary, retired = cluster.primary, cluster.credentials
    postmasters = [member.postmaster for member in cluster.members]
    for first in (0, 1_000_000):  # phases `use` and `retire`
        with writing(cluster, first):
            cluster.write_credentials(next_phase(cluster.credentials))
            cluster.wait_until_healthy()
        cluster.connect(primary).close()
    with pytest.raises(psycopg2.OperationalError, match="authentication failed"):
        cluster.connect(primary, retired)
    assert [member.postmaster for member in cluster.members] == postmasters

    def run_hook() -> PatroniMember:
        environment = primary.environment()
        assert subprocess.run(primary.hook_argv(), env=environment, check=False, timeout=60).returncode == 0
        return cluster.primary

    successor = run_hook()
    assert successor is not primary
    cluster.wait_until_healthy()
    assert run_hook() is successor, "a standby stops without a switchover"
