"""Configuration of a Kafka node that is broker and controller (KRaft).

Three listeners, all SASL over TLS: for clients, between brokers, between controllers. The internal two accept
accounts of their own only, so that a service's password is valid on the client listener only. Passwords use
PLAIN inside TLS and come from a Secret, so the accounts are declared, and a rolling restart applies changes.
SCRAM users are stored in the metadata log: users created at formatting never follow the declaration.

The authorizer denies everything that the access control list does not permit. The list is in the metadata
log, and the topics job applies it. Only the nodes themselves and the administrator are not subject to it.

A lost zone loses no data: there are three replicas, two of them must have a record before it is acknowledged
(acks=all), and a replica that misses a record cannot become leader. All zones may lose their power at once:
a broker syncs every append before it acknowledges it, so that an acknowledged record is on two disks.
A lost broker is fenced after `SESSION_MS`, which is most of the interruption that producers see.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

CLIENT_PORT = 9092
BROKER_PORT = 9093
CONTROLLER_PORT = 9094
MECHANISM = "PLAIN"
CIPHER_SUITES = "TLS_CHACHA20_POLY1305_SHA256,TLS_AES_128_GCM_SHA256"

HEARTBEAT_MS = 500
SESSION_MS = 6_500
"""Milliseconds without a heartbeat after which a broker is fenced. After a stall of 5 s the last heartbeat is
5.5 s old, and a thawed zone needs a moment: with 6 s, a stall on a busy machine moved partitions. Producers
wait this long for a dead broker, and also for the election before it if it led the quorum."""
REPLICATION_FACTOR = 3
MIN_IN_SYNC_REPLICAS = 2

DATA_DIRECTORY = "/var/lib/kafka/data"
PROPERTIES_FILE = "/run/kafka/server.properties"


def render_server_properties(voters: Sequence[str], super_users: Sequence[str]) -> str:
    """Return the shared part of `server.properties`; a starting pod adds identity, addresses and users.

    Args:
        voters: host names of the nodes, in the order of their ids.
        super_users: accounts that the access control list does not apply to.
    """
    return (
        _quorum_properties(voters)
        + _listener_properties()
        + _authorizer_properties(super_users)
        + _replication_properties()
        + _RESOURCE_PROPERTIES
    )


def _quorum_properties(voters: Sequence[str]) -> str:
    quorum = ",".join(f"{number}@{host}:{CONTROLLER_PORT}" for number, host in enumerate(voters))
    return f"""\
process.roles=broker,controller
controller.quorum.voters={quorum}
# The defaults. When the leader of the quorum is lost with its broker, brokers are fenced only after the
# election, so these timeouts add to what producers wait. A stall may cost an election, but moves no
# partition.
controller.quorum.election.timeout.ms=1000
controller.quorum.fetch.timeout.ms=2000
# An idle controller writes no-op records that three nodes sync to disk: every 500 ms by default.
# Fetches and heartbeats show which nodes are alive.
metadata.max.idle.interval.ms=5000
"""


def _listener_properties() -> str:
    return f"""\
listeners=CLIENTS://:{CLIENT_PORT},BROKERS://:{BROKER_PORT},CONTROLLERS://:{CONTROLLER_PORT}
listener.security.protocol.map=CLIENTS:SASL_SSL,BROKERS:SASL_SSL,CONTROLLERS:SASL_SSL
inter.broker.listener.name=BROKERS
controller.listener.names=CONTROLLERS
sasl.enabled.mechanisms={MECHANISM}
sasl.mechanism.inter.broker.protocol={MECHANISM}
sasl.mechanism.controller.protocol={MECHANISM}
ssl.keystore.type=PEM
ssl.keystore.location=/etc/esq/tls/keystore.pem
ssl.truststore.type=PEM
ssl.truststore.location=/etc/esq/tls/ca.crt
ssl.enabled.protocols=TLSv1.3
# In order of preference. These brokers run with Java's C1 compiler, which does not use the processor's AES
# instructions: encrypting 2 kB takes 71 us with AES and 19 us with ChaCha20 (see benchmarks/Ciphers.java).
ssl.cipher.suites={CIPHER_SUITES}
broker.heartbeat.interval.ms={HEARTBEAT_MS}
broker.session.timeout.ms={SESSION_MS}
"""


def _authorizer_properties(super_users: Sequence[str]) -> str:
    return f"""\
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
allow.everyone.if.no.acl.found=false
super.users={";".join(f"User:{name}" for name in super_users)}
"""


def _replication_properties() -> str:
    return f"""\
log.dirs={DATA_DIRECTORY}
# Topics are declared, see services.contracts.topics; a typing error must not create one.
auto.create.topics.enable=false
default.replication.factor={REPLICATION_FACTOR}
min.insync.replicas={MIN_IN_SYNC_REPLICAS}
unclean.leader.election.enable=false
# A broker syncs a batch before it acknowledges it; by default the kernel writes it half a minute later.
log.flush.interval.messages=1
offsets.topic.replication.factor={REPLICATION_FACTOR}
offsets.topic.num.partitions=6
transaction.state.log.replication.factor={REPLICATION_FACTOR}
transaction.state.log.min.isr={MIN_IN_SYNC_REPLICAS}
transaction.state.log.num.partitions=6
share.coordinator.state.topic.replication.factor={REPLICATION_FACTOR}
share.coordinator.state.topic.min.isr={MIN_IN_SYNC_REPLICAS}
share.coordinator.state.topic.num.partitions=3
replica.lag.time.max.ms=10000
# A dead consumer must not block its partitions longer than a dead broker does: clients request 6 s and more.
group.min.session.timeout.ms=6000
group.initial.rebalance.delay.ms=500
"""


_RESOURCE_PROPERTIES = """\
log.segment.bytes=67108864
log.index.size.max.bytes=1048576
log.cleaner.dedupe.buffer.size=8388608
# Two cores for all three brokers and everything else.
num.network.threads=2
num.io.threads=4
num.replica.fetchers=1
num.recovery.threads.per.data.dir=1
background.threads=2
"""


def render_users_properties(*, nodes: Mapping[str, str], clients: Mapping[str, str]) -> str:
    """Return the secret part of `server.properties`.

    Args:
        nodes: password by account of the nodes among themselves; they use the first one and accept all.
        clients: password by account of the client listener.
    """
    module = "org.apache.kafka.common.security.plain.PlainLoginModule required"
    username, password = next(iter(nodes.items()))
    internal = f'{module} username="{username}" password="{password}" {_users(nodes)};'
    return f"""\
listener.name.brokers.plain.sasl.jaas.config={internal}
listener.name.controllers.plain.sasl.jaas.config={internal}
listener.name.clients.plain.sasl.jaas.config={module} {_users(clients)};
"""


def _users(accounts: Mapping[str, str]) -> str:
    return " ".join(f'user_{name}="{password}"' for name, password in sorted(accounts.items()))


def render_prepare_script() -> str:
    """Return the script of the init container: it completes the properties and formats a new volume.

    A formatted volume is left as it is, which also saves the start of a second JVM. Kafka does not sync what
    it formats: the folder gets its name when it is complete on the disk, so that a power loss in between
    leaves no half of it, with which no broker starts.
    """
    return f"""\
#!/bin/sh
set -eu
number=${{HOSTNAME##*-}}
{{
    cat /etc/esq/kafka/server.properties /etc/esq/users/users.properties
    echo "node.id=$number"
    host="$HOSTNAME.$ESQ_DOMAIN"
    echo "advertised.listeners=CLIENTS://$host:{CLIENT_PORT},BROKERS://$host:{BROKER_PORT}"
}} > {PROPERTIES_FILE}
data={DATA_DIRECTORY}
[ ! -d "$data" ] || exit 0
rm -rf "$data.new"
sed "s|^log.dirs=.*|log.dirs=$data.new|" {PROPERTIES_FILE} > {PROPERTIES_FILE}.format
java -Xmx96m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -cp '/opt/kafka/libs/*' \\
    kafka.tools.StorageTool format --cluster-id="$ESQ_CLUSTER_ID" --config {PROPERTIES_FILE}.format
sync -f "$data.new"
mv "$data.new" "$data"
sync -f "$data"
"""


def render_log4j2_properties() -> str:
    """Return the log4j2 configuration: one line per event on standard output."""
    return """\
status = warn
appender.console.type = Console
appender.console.name = console
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = %d{yyyy-MM-dd HH:mm:ss.SSS} %p %c{1}: %m%n
rootLogger.level = info
rootLogger.appenderRef.console.ref = console
logger.quiet.name = org.apache.kafka.common.config
logger.quiet.level = warn
"""
