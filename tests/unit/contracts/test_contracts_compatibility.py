"""The gate: no change to the schemas may break who wrote or reads by the baseline."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto

from cli.actions import contracts
from infra.errors import EsqError
from services.contracts.compatibility import RENEW, WAY_ON, additions, breaks, listing
from services.contracts.v1 import events_pb2

if TYPE_CHECKING:
    from collections.abc import Callable

    from google.protobuf.descriptor_pb2 import DescriptorProto, EnumDescriptorProto

PROJECT = Path(__file__).parents[3]


def test_the_schemas_break_nobody() -> None:
    faults = breaks(contracts.baseline(PROJECT), contracts.present())
    assert not faults, "\n".join([*faults, WAY_ON])


def test_the_baseline_knows_all_that_is_there() -> None:
    new = additions(contracts.baseline(PROJECT), contracts.present())
    if new:
        pytest.skip(f"new and compatible: {', '.join(new)}. {RENEW}")


def schemas() -> FileDescriptorProto:
    file = FileDescriptorProto()
    events_pb2.DESCRIPTOR.CopyToProto(file)
    return file


def message(file: FileDescriptorProto, name: str) -> DescriptorProto:
    return next(each for each in file.message_type if each.name == name)


def field(file: FileDescriptorProto, of: str, name: str) -> FieldDescriptorProto:
    return next(each for each in message(file, of).field if each.name == name)


def enum(file: FileDescriptorProto) -> EnumDescriptorProto:
    return next(each for each in file.enum_type if each.name == "Status")


def remove_field(file: FileDescriptorProto) -> None:
    message(file, "Envelope").field.remove(field(file, "Envelope", "company"))


def renumber(file: FileDescriptorProto) -> None:
    field(file, "MessageFailed", "code").number = 9


def retype(file: FileDescriptorProto) -> None:
    field(file, "MessageFailed", "code").type = FieldDescriptorProto.TYPE_INT64


def repeat(file: FileDescriptorProto) -> None:
    field(file, "MessageRequested", "to").label = FieldDescriptorProto.LABEL_REPEATED


def leave_the_oneof(file: FileDescriptorProto) -> None:
    field(file, "Envelope", "status_changed").ClearField("oneof_index")


def reuse(file: FileDescriptorProto) -> None:
    field(file, "MessageFailed", "code").name = "severity"


def remove_message(file: FileDescriptorProto) -> None:
    file.message_type.remove(message(file, "MessageUncertain"))


def remove_value(file: FileDescriptorProto) -> None:
    del enum(file).value[3]


def renumber_value(file: FileDescriptorProto) -> None:
    enum(file).value[3].number = 7


BREAKING: list[tuple[Callable[[FileDescriptorProto], None], str]] = [
    (remove_field, "esq.v1.Envelope.company (number 2) was removed"),
    (renumber, "esq.v1.MessageFailed.code had number 3 and has 9 now"),
    (retype, "esq.v1.MessageFailed.code was of type int32 and is of type int64 now"),
    (repeat, "esq.v1.MessageRequested.to was of type string and is of type repeated string now"),
    (leave_the_oneof, "was of type esq.v1.StatusChanged in event and is of type esq.v1.StatusChanged now"),
    (reuse, "esq.v1.MessageFailed: number 3 was code and is used again for severity"),
    (remove_message, "esq.v1.MessageUncertain was removed"),
    (remove_value, "esq.v1.Status.STATUS_READ (number 3) was removed"),
    (renumber_value, "esq.v1.Status.STATUS_READ had number 3 and has 7 now"),
]


@pytest.mark.parametrize(("change", "fault"), BREAKING)
def test_a_breaking_change_is_told(change: Callable[[FileDescriptorProto], None], fault: str) -> None:
    file = schemas()
    change(file)
    assert fault in "\n".join(breaks(listing(schemas()), listing(file)))


def test_what_is_reserved_stays_so() -> None:
    before = schemas()
    message(before, "MessageFailed").reserved_range.add(start=20, end=22)
    message(before, "MessageFailed").reserved_name.append("severity")
    after = schemas()
    message(after, "MessageFailed").field.add(name="severity", number=21, type=9, label=1)
    told = breaks(listing(before), listing(after))
    assert "esq.v1.MessageFailed.severity (number 21) is reserved" in told
    assert "esq.v1.MessageFailed: 20 is no longer reserved" in told


def test_additions_break_nobody_and_are_named() -> None:
    file = schemas()
    message(file, "MessageFailed").field.add(name="severity", number=5, type=9, label=1)
    enum(file).value.add(name="STATUS_PLAYED", number=5)
    file.message_type.add(name="MessagePlayed").field.add(name="message_id", number=1, type=9, label=1)
    before, after = listing(schemas()), listing(file)
    assert breaks(before, after) == []
    assert additions(before, after) == [
        "esq.v1.MessageFailed.severity",
        "esq.v1.MessagePlayed.message_id",
        "esq.v1.Status.STATUS_PLAYED",
    ]


def test_generating_refuses_to_renew_a_broken_baseline(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for path in (contracts.BASELINE, contracts.ASYNCAPI):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
    contracts.renew(tmp_path)
    kept = (tmp_path / contracts.BASELINE).read_text()
    broken = schemas()
    remove_field(broken)
    monkeypatch.setattr(contracts, "present", lambda: listing(broken))
    with pytest.raises(EsqError, match="break what others rely on") as caught:
        contracts.renew(tmp_path)
    assert "esq.v1.Envelope.company" in caught.value.detail
    assert (tmp_path / contracts.BASELINE).read_text() == kept
