"""Scrub of replicas: damage is named, an unreadable replica is not undamaged, and only damage is repaired."""

from __future__ import annotations

import datetime as dt
import json
import subprocess
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from cli.actions import scrub as action
from infra import data_scrub
from infra.components.component_health import ComponentHealth, Pod, PodUnreachableError, Replica
from infra.components.kafka import scrub as kafka
from infra.components.object_store import scrub as object_store
from infra.components.postgres import scrub as postgres
from infra.components.scrub import Damage
from infra.progress import RecordingProgress
from infra.scrub_record import MAX_AGE, MAX_PLACES, replace_damage

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

BACKUP_WITH_DAMAGE = """\
WARNING:  checksum verification failed in file "./base/5/2609", block 7: calculated 1 but expected 2
pg_basebackup: error: checksum error occurred
failed
"""


@dataclass
class FakePods:
    """Pods that answer each program with a fixed text, by a part of its arguments."""

    answers: dict[str, str]
    calls: list[str] = field(default_factory=list)

    def list_pods(self, name: str) -> Sequence[Pod]:
        return [Pod(name=f"{name}-0", zone="zone-a", ready=True)]

    def get(self, _pod: str, _port: int, path: str) -> str:
        return self.answers[path]

    def run(self, _pod: str, _container: str, argv: Sequence[str]) -> str:
        line = " ".join(argv)
        self.calls.append(line)
        return next(answer for part, answer in self.answers.items() if part in line)


def test_postgres_names_file_and_page() -> None:
    damages = postgres.scrub(FakePods({"pg_basebackup": BACKUP_WITH_DAMAGE}), "postgres-1")
    assert [str(damage) for damage in damages] == ["postgres-1: base/5/2609, page 7"]


@pytest.mark.parametrize("output", ["pg_basebackup: error: connection refused\nfailed\n", "failed\n"])
def test_postgres_that_cannot_be_read_is_an_error(output: str) -> None:
    with pytest.raises(PodUnreachableError, match="cannot read"):
        postgres.scrub(FakePods({"pg_basebackup": output}), "postgres-1")


def test_backup_that_ends_after_the_first_damage_is_an_error() -> None:
    """What was not read may be damaged too."""
    output = BACKUP_WITH_DAMAGE.replace("checksum error occurred", "connection lost")
    with pytest.raises(PodUnreachableError, match="cannot read"):
        postgres.scrub(FakePods({"pg_basebackup": output}), "postgres-1")


@pytest.mark.parametrize(("leader", "repaired"), [("postgres-0", True), ("postgres-1", False)])
def test_only_a_follower_is_copied_again(leader: str, *, repaired: bool) -> None:
    members = [
        {"name": name, "role": "leader" if name == leader else "replica"}
        for name in ("postgres-0", "postgres-1")
    ]
    pods = FakePods({"/cluster": json.dumps({"members": members}), "patronictl": ""})
    if repaired:
        postgres.repair(pods, "postgres-1", [])
        assert pods.calls == ["patronictl reinit postgres postgres-1 --force"]
        return
    with pytest.raises(PodUnreachableError, match="leads"):
        postgres.repair(pods, "postgres-1", [])
    assert pods.calls == []


def test_kafka_names_partition_and_byte() -> None:
    output = """\
Dumping /var/lib/kafka/data/orders-1/00000000000000000000.log
Dumping /var/lib/kafka/data/orders-2/00000000000000000007.log
baseOffset: 9 lastOffset: 9 count: 1 position: 120 CreateTime: 1 size: 70 magic: 2 crc: 3 isvalid: false
status 0
"""
    damages = kafka.scrub(FakePods({"DumpLogSegments": output}), "kafka-1")
    assert [damage.location for damage in damages] == ["orders-2/00000000000000000007.log, byte 120"]


UNREADABLE_BATCH = """\
Dumping /var/lib/kafka/data/orders-1/00000000000000000000.log
Exception in thread "main" org.apache.kafka.common.errors.CorruptRecordException: Record size 0 is too small
"""


def test_kafka_names_the_file_of_a_batch_that_ends_the_reader() -> None:
    (damage,) = kafka.scrub(FakePods({"DumpLogSegments": f"{UNREADABLE_BATCH}status 1\n"}), "kafka-1")
    assert damage.location.startswith("orders-1/00000000000000000000.log: ")


FIRST_FILE = "echo Dumping /var/lib/kafka/data/orders-1/0.log\n"
EXCEPTION = 'echo Exception in thread "main" '


@pytest.mark.parametrize(
    "reader",
    [
        "echo Error: Could not create the Java Virtual Machine.\nexit 1",
        f"{FIRST_FILE}kill -KILL $$",
        f"{FIRST_FILE}{EXCEPTION}java.lang.OutOfMemoryError: Java heap space\nexit 3",
        f"{FIRST_FILE}{EXCEPTION}java.nio.file.NoSuchFileException: orders-1/0.log\nexit 1",
    ],
)
def test_kafka_that_cannot_be_read_is_neither_intact_nor_damaged(
    reader: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A repair would delete intact data."""
    segment = tmp_path / "data/orders-1/0.log"
    segment.parent.mkdir(parents=True)
    segment.write_bytes(b"records")
    java = tmp_path / "java"
    java.write_text(f"#!/bin/sh\n{reader}\n")
    java.chmod(0o700)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    pods = FakePods({})
    script = kafka.READ_ALL_BATCHES.replace(kafka.DATA_DIRECTORY, str(tmp_path / "data"))
    result = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=False)
    pods.answers["DumpLogSegments"] = result.stdout
    with pytest.raises(PodUnreachableError, match="cannot read"):
        kafka.scrub(pods, "kafka-1")


def test_kafka_moves_each_damaged_partition_once_and_stops_the_broker() -> None:
    pods = FakePods({"mv": ""})
    damages = [Damage(pod="kafka-1", location=f"orders-2/0.log, byte {byte}") for byte in (0, 120)]
    kafka.repair(pods, "kafka-1", damages)
    (line,) = pods.calls
    assert line.count("mv ") == 1
    assert "/orders-2 " in line
    assert line.endswith("-delete && kill -TERM 1")


def test_object_store_waits_for_its_scrub(monkeypatch: pytest.MonkeyPatch) -> None:
    completed = iter(["monday", "monday", "tuesday"])
    pods = FakePods(
        {"LaunchRepairOperation": '{"success": {"a": null}, "error": {}}', "find": "repaired b.zst\n"}
    )
    run = pods.run

    def answer(pod: str, container: str, argv: Sequence[str]) -> str:
        if "GetWorkerVariable" in argv:
            return json.dumps({"success": {"a": {"scrub-last-completed": next(completed)}}, "error": {}})
        return run(pod, container, argv)

    monkeypatch.setattr(pods, "run", answer)
    monkeypatch.setattr(object_store.time, "sleep", lambda _: None)
    (damage,) = object_store.scrub(pods, "object-store-1")
    assert (damage.location, damage.repaired) == ("block b.zst", True)
    assert next(completed, None) is None


@pytest.mark.parametrize(("exists", "status"), [(True, 0), (False, 1)])
def test_object_store_without_a_readable_folder_is_an_error(
    tmp_path: Path, *, exists: bool, status: int
) -> None:
    """The status of the list decides: without damage, its output is empty."""
    folder = tmp_path if exists else tmp_path / "nothing"
    script = object_store.LIST_DAMAGED_BLOCKS.replace("/var/lib/garage/data", str(folder))
    result = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=False)
    assert (result.returncode, result.stdout) == (status, "")


def fake_component(
    monkeypatch: pytest.MonkeyPatch,
    scrubs: list[list[Damage]],
    *,
    healthy: bool = True,
    others_healthy: bool = True,
) -> list[str]:
    """Replace Kafka by a component with these results of its scrubs; return the pods that are repaired."""
    repaired: list[str] = []
    replicas = [
        Replica(name=f"kafka-{number}", zone="zone-a", role="broker", state="", healthy=replica_healthy)
        for number, replica_healthy in enumerate((healthy, True, others_healthy))
    ]
    component: Any = data_scrub._Component(
        scrub=lambda _pods, _pod: scrubs.pop(0),
        repair=lambda _pods, pod, _damages: repaired.append(pod),
        health=lambda _pods: ComponentHealth(
            component="kafka", healthy=healthy, summary="", replicas=tuple(replicas)
        ),
    )
    monkeypatch.setitem(data_scrub.COMPONENTS, "kafka", component)
    monkeypatch.setattr("infra.waiting.time.sleep", lambda _: None)
    return repaired


def scrub_kafka(*, repair: bool) -> action.ReplicaScrub:
    with RecordingProgress().step("kafka-0") as step:
        result = action.scrub_replica(FakePods({}), "kafka-0", step)
        if repair and not result.intact:
            return action.repair_replica(FakePods({}), result, [result], step)
        return result


DAMAGE = Damage(pod="kafka-0", location="orders-2/0.log, byte 0")
COPIED_DAMAGE = DAMAGE.model_copy(update={"repaired": True})


def test_damage_remains_without_repair(monkeypatch: pytest.MonkeyPatch) -> None:
    repaired = fake_component(monkeypatch, [[DAMAGE]])
    result = scrub_kafka(repair=False)
    assert not result.intact
    assert action.describe(result) == "1 damaged place"
    assert repaired == []


def test_repair_ends_when_a_scrub_finds_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    repaired = fake_component(monkeypatch, [[DAMAGE], [DAMAGE], []])
    result = scrub_kafka(repair=True)
    assert result.intact
    assert action.describe(result) == "1 damaged place, repaired"
    assert repaired == ["kafka-0"]


def test_replica_that_is_not_in_sync_is_not_repaired(monkeypatch: pytest.MonkeyPatch) -> None:
    fake_component(monkeypatch, [[DAMAGE]], healthy=False)
    monkeypatch.setattr(data_scrub, "REPAIR_TIMEOUT_SECONDS", 0.0)
    result = scrub_kafka(repair=True)
    assert not result.intact
    assert "is not repaired" in action.describe(result)


def test_store_that_repaired_itself_is_not_repaired_again(monkeypatch: pytest.MonkeyPatch) -> None:
    repaired = fake_component(monkeypatch, [[COPIED_DAMAGE]])
    result = scrub_kafka(repair=True)
    assert result.intact
    assert result.damages == (COPIED_DAMAGE,)
    assert repaired == []


def test_replica_is_not_repaired_while_another_one_is_not_healthy(monkeypatch: pytest.MonkeyPatch) -> None:
    """The repair deletes data that only the others have then."""
    repaired = fake_component(monkeypatch, [[DAMAGE]], others_healthy=False)
    monkeypatch.setattr(data_scrub, "OTHERS_TIMEOUT_SECONDS", 0.0)
    result = scrub_kafka(repair=True)
    assert "the other replicas are not all healthy" in result.problem
    assert repaired == []


@pytest.mark.parametrize(
    "other",
    [action.ReplicaScrub(pod="kafka-2", damages=(DAMAGE,)), action.ReplicaScrub(pod="kafka-2", problem="no")],
)
def test_replica_is_not_repaired_while_another_one_may_be_damaged(
    other: action.ReplicaScrub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other one may need the data that the repair deletes."""
    repaired = fake_component(monkeypatch, [])
    damaged = action.ReplicaScrub(pod="kafka-1", damages=(DAMAGE,))
    with RecordingProgress().step("kafka-1") as step:
        result = action.repair_replica(FakePods({}), damaged, [damaged, other], step)
    assert not result.intact
    assert "kafka-2 may be damaged" in action.describe(result)
    assert repaired == []


def test_missing_replica_is_scrubbed_and_not_intact() -> None:
    """An environment without pods has no intact data."""
    assert len(data_scrub.replicas()) == 3 * len(data_scrub.COMPONENTS)

    class NoPods(FakePods):
        def run(self, pod: str, _container: str, argv: Sequence[str]) -> str:
            raise PodUnreachableError(f"{pod} is unreachable: {argv[0]}")

    with RecordingProgress().step("scrub") as step:
        results = [action.scrub_replica(NoPods({}), pod, step) for pod in data_scrub.replicas()]
    assert not any(result.intact for result in results)


def test_record_says_what_is_not_intact() -> None:
    damage = Damage(pod="kafka-0", location="log, offset 7")
    results = [
        action.ReplicaScrub(pod="kafka-0", damages=(damage,)),
        action.ReplicaScrub(pod="postgres-0", damages=(damage,), repaired=True),
        action.ReplicaScrub(pod="postgres-1", problem="it does not answer"),
        action.ReplicaScrub(pod="postgres-2"),
    ]
    record = action.to_record(results, None)
    assert record.problems == ["damaged data: kafka-0: log, offset 7", "postgres-1: it does not answer"]
    assert record.describe(record.at).endswith("4 replicas: 2 problems")
    later = record.at + MAX_AGE + dt.timedelta(seconds=1)
    assert (record.is_old(record.at), record.is_old(later)) == (False, True)
    assert "one a week is due" in record.describe(later)
    assert action.to_record([results[1], results[3]], record).damage == ("kafka-0: log, offset 7",)
    assert action.to_record([results[1], results[3]], None).problems == []


def test_damage_of_a_replica_that_cannot_be_read_remains() -> None:
    before = action.to_record([action.ReplicaScrub(pod="kafka-0", damages=(DAMAGE,))], None)
    unread = action.ReplicaScrub(pod="kafka-0", problem="it does not answer")
    assert action.to_record([unread], before).damage == (str(DAMAGE),)
    assert action.to_record([action.ReplicaScrub(pod="kafka-0")], before).problems == []


def test_record_of_a_broken_disk_fits_into_the_cluster() -> None:
    """All of its places are still replaced when the replica is intact."""
    damages = tuple(Damage(pod="kafka-0", location=f"log, byte {byte}") for byte in range(50_000))
    record = action.to_record([action.ReplicaScrub(pod="kafka-0", damages=damages)], None)
    assert len(record.damage) == MAX_PLACES + 1
    assert record.damage[-1] == "kafka-0: 49980 more places"
    assert replace_damage(record.damage, {"kafka-0": ()}) == ()
