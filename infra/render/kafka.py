"""Settings of a Kafka node that is broker and controller at once (KRaft).

Three listeners, all SASL over TLS: for clients, among brokers, among controllers. The inner two know one
user of their own, so that a service's password opens nothing but the clients' door. Passwords are PLAIN
inside TLS and come from a Secret: who may log in is then declared, and applied by a rolling restart. SCRAM
users live in the metadata log: those made at formatting never change with the declaration.

Nothing is lost with a zone: three copies, two of which must have a record before it is acknowledged
(acks=all), and no copy that missed one may lead. A lost broker is fenced after `SESSION_MS`, which is most
of the gap producers see.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

CLIENT_PORT = 9092
BROKER_PORT = 9093
CONTROLLER_PORT = 9094
MECHANISM = "PLAIN"
CIPHERS = "TLS_CHACHA20_POLY1305_SHA256,TLS_AES_128_GCM_SHA256"

HEARTBEAT_MS = 500
SESSION_MS = 6_500
"""Milliseconds without a heartbeat after which a broker is fenced. After a stall of 5 s the last heartbeat is
5.5 s old, and a thawed zone needs a moment: with 6 s a stall on a busy machine moved partitions. Producers
wait so long for a dead broker, and for the election before it if it led the quorum."""
REPLICATION = 3
MIN_IN_SYNC = 2

DATA = "/var/lib/kafka/data"
PROPERTIES = "/run/kafka/server.properties"


def server(voters: Sequence[str]) -> str:
    """Return the shared part of `server.properties`; a starting pod adds identity, addresses and users.

    Args:
        voters: host names of the nodes, in the order of their ids.
    """
    quorum = ",".join(f"{number}@{host}:{CONTROLLER_PORT}" for number, host in enumerate(voters))
    return f"""\
process.roles=broker,controller
controller.quorum.voters={quorum}
# The defaults. When the leader of the quorum is lost with its broker, brokers are only judged after the
# election, so that these add to what producers wait. A stall may cost an election; it moves no partition.
controller.quorum.election.timeout.ms=1000
controller.quorum.fetch.timeout.ms=2000
# While nothing happens the controller writes that nothing does, and three nodes sync it to disk: every
# 500 ms where nothing else is said. Who is alive is known by the fetches and heartbeats.
metadata.max.idle.interval.ms=5000
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
# The first that both know. Java's simple compiler, which these brokers run with, has no use for a processor's
# AES: sealing 2 kB takes 71 us with it, and 19 with ChaCha20 (see benchmarks/Ciphers.java).
ssl.cipher.suites={CIPHERS}
broker.heartbeat.interval.ms={HEARTBEAT_MS}
broker.session.timeout.ms={SESSION_MS}
log.dirs={DATA}
# Topics are declared, see services.contracts.topics; a typing error must not make one.
auto.create.topics.enable=false
default.replication.factor={REPLICATION}
min.insync.replicas={MIN_IN_SYNC}
unclean.leader.election.enable=false
offsets.topic.replication.factor={REPLICATION}
offsets.topic.num.partitions=6
transaction.state.log.replication.factor={REPLICATION}
transaction.state.log.min.isr={MIN_IN_SYNC}
transaction.state.log.num.partitions=6
share.coordinator.state.topic.replication.factor={REPLICATION}
share.coordinator.state.topic.min.isr={MIN_IN_SYNC}
share.coordinator.state.topic.num.partitions=3
replica.lag.time.max.ms=10000
# A dead consumer must not hold its partitions longer than a dead broker: clients ask for 6 s and more.
group.min.session.timeout.ms=6000
group.initial.rebalance.delay.ms=500
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


def users(*, broker: str, clients: Mapping[str, str]) -> str:
    """Return the secret part of `server.properties`.

    Args:
        broker: password of the nodes among themselves.
        clients: password by user, of those who may use the clients' listener.
    """
    module = "org.apache.kafka.common.security.plain.PlainLoginModule required"
    inner = f'{module} username="broker" password="{broker}" user_broker="{broker}";'
    known = " ".join(f'user_{name}="{password}"' for name, password in sorted(clients.items()))
    return f"""\
listener.name.brokers.plain.sasl.jaas.config={inner}
listener.name.controllers.plain.sasl.jaas.config={inner}
listener.name.clients.plain.sasl.jaas.config={module} {known};
"""


def prepare() -> str:
    """Return the script that runs in a pod before Kafka: complete the properties, format a new volume.

    A volume that is formatted is left alone, which also spares the start of a second JVM.
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
}} > {PROPERTIES}
[ ! -f {DATA}/meta.properties ] || exit 0
exec java -Xmx96m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -cp '/opt/kafka/libs/*' \\
    kafka.tools.StorageTool format --cluster-id="$ESQ_CLUSTER_ID" --config {PROPERTIES}
"""


def logging() -> str:
    """Return the log4j2 settings: one line per event on standard output."""
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
