"""Three pods of Redis with the rendered configuration: who may do what, and a failover.

They run in the middle of a rotation: the used generation of passwords and the other one are accepted. Each pod
has a loopback address of its own and no TLS, which `test_redis_pod_programs` covers.
"""

from __future__ import annotations

import asyncio
import re
import signal
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError, NoPermissionError, RedisError
from redis.retry import Retry

from infra.components.redis.pod_programs import write_config
from infra.config_files import redis as redis_config
from infra.credentials import RedisCredentials
from services.kit.queue.job import Job, QueueConfig, QueueName
from services.kit.queue.redis_queue import RedisQueue
from services.kit.redis.client import open_redis
from services.kit.settings import ProcessSettings, RedisSettings
from tests.servers.process import Server, free_port, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

pytestmark = pytest.mark.integration
HOSTS = ("127.0.0.21", "127.0.0.22", "127.0.0.23")
QUEUE = QueueName("whatsapp", "dispatch")
SERVICE_PASSWORDS = ("new", "old")
USED, OTHER = (RedisCredentials(services={"whatsapp": password}) for password in SERVICE_PASSWORDS)
Accounts = tuple[RedisCredentials, ...]


def connect(host: str, port: int, user: str, password: str) -> Redis:
    """Return a client that does not repeat a rejected login."""
    retry = Retry(NoBackoff(), 0)
    return Redis(host, port, username=user, password=password, socket_timeout=5, retry=retry)


class Pods:
    """Three servers and three Sentinels.

    Args:
        folder: folder of their files.
        accounts: generations that each pod accepts, the used one first.
    """

    def __init__(self, folder: Path, accounts: Sequence[Accounts]) -> None:
        self.folder = folder
        self.port, self.sentinel_port = free_port(), free_port()
        self.accounts = dict(zip(HOSTS, accounts, strict=True))
        for host, accepted in self.accounts.items():
            passwords = redis_config.accepted_passwords(accepted)
            (folder / host).mkdir()
            (folder / host / "users.acl").write_text(redis_config.render_server_users(passwords))
            (folder / host / "sentinel-users.acl").write_text(redis_config.render_sentinel_users(passwords))
        self.servers: dict[str, Server] = {}
        self.sentinels: dict[str, Server] = {}

    def start(self) -> None:
        for host in HOSTS:
            folder = self.folder / host
            self._launch(self.servers, host, folder / "redis.conf", self._server_conf(host, folder))
        for host in HOSTS:
            folder = self.folder / host
            conf = self._sentinel_conf(host)
            self._launch(self.sentinels, host, folder / "sentinel.conf", conf, "--sentinel")
        wait_until("two replicas are known to all Sentinels", self._complete, 40)

    def _launch(self, servers: dict[str, Server], host: str, file: Path, conf: str, *options: str) -> None:
        file.write_text(conf)
        servers[host] = Server(file.stem, file.with_suffix(".log"))
        servers[host].launch(["redis-server", str(file), *options])

    def _server_conf(self, host: str, folder: Path) -> str:
        base = redis_config.render_redis_conf(maxmemory="32mb")
        conf = write_config.server_conf(base, host, HOSTS[0], self.accounts[host][0].replication, self.port)
        return self._local(conf, host).replace("dir /data", f"dir {folder}")

    def _sentinel_conf(self, host: str) -> str:
        monitor = redis_config.render_sentinel_monitor_conf(HOSTS[0])
        base = redis_config.render_sentinel_conf().replace("dir /tmp", f"dir {self.folder / host}")
        return self._local(
            write_config.sentinel_conf(base, monitor, host, self.accounts[host][0].sentinel, ""), host
        )

    def _local(self, conf: str, host: str) -> str:
        """Return a configuration without TLS, with the address, ports and files of this test."""
        conf = conf.replace("port 0\n", f"bind {host}\n").replace("tls-port ", "port ")
        conf = re.sub(r"^tls-.*\n", "", conf, flags=re.MULTILINE)
        conf = conf.replace(str(redis_config.SENTINEL_PORT), str(self.sentinel_port))
        conf = re.sub(rf"\b{redis_config.PORT}\b", str(self.port), conf)
        # Shorter than in an environment, so that the failover takes seconds.
        conf = conf.replace(str(redis_config.DOWN_AFTER_MS), "1000")
        return conf.replace("/etc/esq/tls", str(self.folder / host))

    def stop(self) -> None:
        for server in (*self.sentinels.values(), *self.servers.values()):
            server.send_signal(signal.SIGKILL)

    def client(self, user: str, password: str, host: str = HOSTS[0]) -> Redis:
        return connect(host, self.port, user, password)

    def sentinel(self, user: str, password: str, host: str = HOSTS[1]) -> Redis:
        return connect(host, self.sentinel_port, user, password)

    def primary(self) -> str | None:
        """Return the primary according to a Sentinel."""
        master = self.sentinel(redis_config.PROBE, USED.probe)
        address = master.execute_command("SENTINEL GET-MASTER-ADDR-BY-NAME", redis_config.MASTER_NAME)
        return address[0].decode() if address else None

    def _complete(self) -> bool:
        try:
            masters = [
                self.sentinel(redis_config.ADMIN, self.accounts[host][0].admin, host).sentinel_master("esq")
                for host in HOSTS
            ]
        except RedisError:
            return False
        return all((master["num-slaves"], master["num-other-sentinels"]) == (2, 2) for master in masters)


@pytest.fixture(scope="module")
def pods(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pods]:
    started = Pods(tmp_path_factory.mktemp("redis-pods"), [(USED, OTHER)] * 3)
    try:
        started.start()
        yield started
    finally:
        started.stop()


@pytest.mark.parametrize("password", SERVICE_PASSWORDS)
@pytest.mark.parametrize(
    "command",
    [
        ("FLUSHALL",),
        ("FLUSHDB",),
        ("CONFIG", "GET", "*"),
        ("CONFIG", "SET", "maxmemory", "1"),
        ("KEYS", "*"),
        ("SCAN", "0"),
        ("GET", "esq:chaos:1"),
        ("HGET", "esq:queue:{campaigns.import}:jobs", "x"),
        ("DEL", "esq:queue:{whatsapp.dispatch}:jobs"),
        ("ACL", "LIST"),
        ("REPLICAOF", "NO", "ONE"),
        ("SHUTDOWN",),
        ("EVAL", "return redis.call('FLUSHALL')", "0"),
    ],
)
def test_service_may_use_its_queues_only(pods: Pods, password: str, command: tuple[str, ...]) -> None:
    client = pods.client("whatsapp", password)
    assert client.hget("esq:queue:{whatsapp.dispatch}:jobs", "x") is None
    with pytest.raises(RedisError, match=r"(?i)permission|can't run"):
        client.execute_command(*command)


def test_service_finds_the_primary_and_changes_nothing_on_a_sentinel(pods: Pods) -> None:
    sentinel = pods.sentinel("whatsapp", "new")
    assert redis_config.MASTER_NAME in sentinel.sentinel_masters()
    for command in (("SENTINEL", "FAILOVER", "esq"), ("SENTINEL", "REMOVE", "esq"), ("ACL", "LIST")):
        with pytest.raises(NoPermissionError):
            sentinel.execute_command(*command)


def test_wrong_accounts_are_rejected(pods: Pods) -> None:
    for login in (pods.client, pods.sentinel):
        for user, password in (("default", USED.admin), ("whatsapp", USED.admin), ("stranger", "new")):
            with pytest.raises(AuthenticationError):
                login(user, password).ping()
    with pytest.raises(RedisError, match="already authenticated"):
        Redis(HOSTS[0], pods.port).ping()


@pytest.mark.parametrize("name", ["probe", "replication", "sentinel"])
def test_internal_accounts_read_no_data(pods: Pods, name: str) -> None:
    client = pods.client(name, getattr(USED, name))
    assert client.ping()
    for command in (
        ("HGET", "esq:queue:{whatsapp.dispatch}:jobs", "x"),
        ("FLUSHALL",),
        ("CONFIG", "GET", "*"),
    ):
        with pytest.raises(NoPermissionError):
            client.execute_command(*command)


def test_all_accepted_passwords_of_every_account_are_valid(pods: Pods) -> None:
    for name, passwords in redis_config.accepted_passwords((USED, OTHER)).items():
        for password in passwords:
            assert pods.client(name, password).ping(), name
            if name != redis_config.REPLICATION:
                assert pods.sentinel(name, password).ping(), name


def test_files_contain_no_password(pods: Pods) -> None:
    users = "".join(
        (pods.folder / HOSTS[0] / file).read_text() for file in ("users.acl", "sentinel-users.acl")
    )
    for passwords in redis_config.accepted_passwords((USED, OTHER)).values():
        assert not [password for password in passwords if f" {password} " in users or f">{password}" in users]


@pytest.mark.parametrize(
    ("old", "new"),
    [((OTHER,), (OTHER, USED)), ((OTHER, USED), (USED, OTHER)), ((USED, OTHER), (USED,))],
    ids=["accept both", "use the new one", "accept the new one only"],
)
def test_pods_of_consecutive_steps_of_a_rotation_work_together(
    tmp_path: Path, old: Accounts, new: Accounts
) -> None:
    """The rollout has reached the last pod; `start` waits until replicas and Sentinels know each other."""
    pods = Pods(tmp_path, [old, old, new])
    try:
        pods.start()
    finally:
        pods.stop()


async def test_failover_with_restricted_accounts(pods: Pods) -> None:
    """Runs last: it kills the first server."""
    sentinels = ",".join(f"{host}:{pods.sentinel_port}" for host in HOSTS)
    values = {"redis_sentinels": sentinels, "redis_username": "whatsapp", "redis_password": "new"}
    settings = RedisSettings.model_validate(values)
    async with open_redis(ProcessSettings(service="whatsapp"), settings) as client:
        queue = RedisQueue(client, QUEUE, QueueConfig())
        await queue.enqueue([Job(uuid4(), "acme")])
        pods.servers[HOSTS[0]].kill()
        async with asyncio.timeout(60):
            while await asyncio.to_thread(pods.primary) == HOSTS[0]:
                await asyncio.sleep(0.2)
            while await client.readiness_problem() is not None:
                await asyncio.sleep(0.2)
        primary = await asyncio.to_thread(pods.primary)
        assert primary in HOSTS[1:]
        wait_until("the other replica follows", lambda: replica_count(pods, str(primary)) == 1, 30)
        await queue.enqueue([Job(uuid4(), "acme")])
        assert (await queue.stats()).depth >= 1


def replica_count(pods: Pods, primary: str) -> int:
    information = pods.client(redis_config.PROBE, USED.probe, primary).info("replication")
    return int(information["connected_slaves"])
