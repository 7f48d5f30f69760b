"""Compatibility of the event schemas with the baseline."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto

from cli.actions import generated_contracts
from infra.errors import EsqError
from services.contracts.schema_compatibility import (
    REMEDY_BREAKING,
    breaking_changes,
    describe_schema,
)
from services.contracts.v1 import events_pb2

if TYPE_CHECKING:
    from collections.abc import Callable

    from google.protobuf.descriptor_pb2 import DescriptorProto, EnumDescriptorProto

PROJECT = Path(__file__).parents[3]


def test_schemas_have_no_breaking_changes() -> None:
    changes = breaking_changes(generated_contracts.baseline(PROJECT), generated_contracts.current_schema())
    assert not changes, "\n".join([*changes, REMEDY_BREAKING])


def test_baseline_is_up_to_date() -> None:
    assert generated_contracts.baseline(PROJECT) == generated_contracts.current_schema(), (
        "run `./esq generate` and commit services/contracts/v1/baseline.yaml with the change"
    )


def schemas() -> FileDescriptorProto:
    file = FileDescriptorProto()
    events_pb2.DESCRIPTOR.CopyToProto(file)
    return file


def find_message(file: FileDescriptorProto, name: str) -> DescriptorProto:
    return next(message for message in file.message_type if message.name == name)


def find_field(file: FileDescriptorProto, message: str, name: str) -> FieldDescriptorProto:
    return next(field for field in find_message(file, message).field if field.name == name)


def find_enum(file: FileDescriptorProto) -> EnumDescriptorProto:
    return next(enum for enum in file.enum_type if enum.name == "Status")


def remove_field(file: FileDescriptorProto) -> None:
    find_message(file, "Envelope").field.remove(find_field(file, "Envelope", "company"))


def renumber(file: FileDescriptorProto) -> None:
    find_field(file, "MessageFailed", "code").number = 9


def retype(file: FileDescriptorProto) -> None:
    find_field(file, "MessageFailed", "code").type = FieldDescriptorProto.TYPE_INT64


def repeat(file: FileDescriptorProto) -> None:
    find_field(file, "MessageRequested", "to").label = FieldDescriptorProto.LABEL_REPEATED


def move_out_of_oneof(file: FileDescriptorProto) -> None:
    find_field(file, "Envelope", "message_statuses_updated").ClearField("oneof_index")


def reuse(file: FileDescriptorProto) -> None:
    find_field(file, "MessageFailed", "code").name = "severity"


def remove_message(file: FileDescriptorProto) -> None:
    file.message_type.remove(find_message(file, "MessageUncertain"))


def remove_value(file: FileDescriptorProto) -> None:
    del find_enum(file).value[3]


def renumber_value(file: FileDescriptorProto) -> None:
    find_enum(file).value[3].number = 7


BREAKING: list[tuple[Callable[[FileDescriptorProto], None], str]] = [
    (remove_field, "esq.v1.Envelope.company (number 2) was removed"),
    (renumber, "esq.v1.MessageFailed.code changed its number from 3 to 9"),
    (retype, "esq.v1.MessageFailed.code changed its type from int32 to int64"),
    (repeat, "esq.v1.MessageRequested.to changed its type from string to repeated string"),
    (
        move_out_of_oneof,
        "changed its type from esq.v1.MessageStatusesUpdated in event to esq.v1.MessageStatusesUpdated",
    ),
    (reuse, "esq.v1.MessageFailed: number 3 of code is reused for severity"),
    (remove_message, "esq.v1.MessageUncertain was removed"),
    (remove_value, "esq.v1.Status.STATUS_READ (number 3) was removed"),
    (renumber_value, "esq.v1.Status.STATUS_READ changed its number from 3 to 7"),
]


@pytest.mark.parametrize(("change", "sentence"), BREAKING)
def test_breaking_change_is_reported(change: Callable[[FileDescriptorProto], None], sentence: str) -> None:
    file = schemas()
    change(file)
    assert sentence in "\n".join(breaking_changes(describe_schema(schemas()), describe_schema(file)))


def test_reserved_numbers_and_names_stay_reserved() -> None:
    before = schemas()
    find_message(before, "MessageFailed").reserved_range.add(start=20, end=22)
    find_message(before, "MessageFailed").reserved_name.append("severity")
    after = schemas()
    find_message(after, "MessageFailed").field.add(name="severity", number=21, type=9, label=1)
    changes = breaking_changes(describe_schema(before), describe_schema(after))
    assert "esq.v1.MessageFailed.severity (number 21) is reserved" in changes
    assert "esq.v1.MessageFailed: 20 is no longer reserved" in changes


def test_additions_are_not_breaking() -> None:
    file = schemas()
    find_message(file, "MessageFailed").field.add(name="severity", number=5, type=9, label=1)
    find_enum(file).value.add(name="STATUS_PLAYED", number=5)
    file.message_type.add(name="MessagePlayed").field.add(name="message_id", number=1, type=9, label=1)
    before, after = describe_schema(schemas()), describe_schema(file)
    assert breaking_changes(before, after) == []


def test_generate_rejects_breaking_changes_and_keeps_the_baseline(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for path in (generated_contracts.BASELINE, generated_contracts.ASYNCAPI):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
    generated_contracts.regenerate(tmp_path)
    baseline = (tmp_path / generated_contracts.BASELINE).read_text()
    broken = schemas()
    remove_field(broken)
    monkeypatch.setattr(generated_contracts, "current_schema", lambda: describe_schema(broken))
    with pytest.raises(EsqError) as caught:
        generated_contracts.regenerate(tmp_path)
    assert "esq.v1.Envelope.company" in caught.value.detail
    assert (tmp_path / generated_contracts.BASELINE).read_text() == baseline
