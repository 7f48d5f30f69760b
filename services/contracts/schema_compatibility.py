"""Compatibility check of the event schemas against the baseline in the repository.

Topics retain records for weeks and two releases run side by side during every deploy, so an event must be
readable by earlier and later releases. Pure functions of plain values: the baseline is a YAML description of
the schemas, in which a reviewer sees every change.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from google.protobuf.descriptor_pb2 import (
        DescriptorProto,
        EnumDescriptorProto,
        FieldDescriptorProto,
        FileDescriptorProto,
    )


SchemaDescription = dict[str, dict[str, Any]]
REMEDY_BREAKING = (
    "The previous release, and every consumer of a record from last week, would misread it. Restore the"
    " old definition and add a field, value or message with a new number; let consumers read it one"
    " release before producers write it. Keep an obsolete field, with a comment that it is not written"
    " any more."
)
_TYPES = {
    1: "double",
    2: "float",
    3: "int64",
    4: "uint64",
    5: "int32",
    6: "fixed64",
    7: "fixed32",
    8: "bool",
    9: "string",
    12: "bytes",
    13: "uint32",
    15: "sfixed32",
    16: "sfixed64",
    17: "sint32",
    18: "sint64",
}
"""`FieldDescriptorProto.Type`, without messages and enums, which have names."""
_REPEATED = 3


def describe_schema(file: FileDescriptorProto) -> SchemaDescription:
    """Return the messages and enums of a file as plain values.

    Returns:
        `messages` and `enums` by full name, each with `members` (number by name, and type for fields) and
        `reserved` (reserved numbers and names).
    """
    return {
        "messages": {f"{file.package}.{message.name}": _message(message) for message in file.message_type},
        "enums": {f"{file.package}.{enum.name}": _enum(enum) for enum in file.enum_type},
    }


def _message(message: DescriptorProto) -> dict[str, Any]:
    members = {field.name: {"number": field.number, "type": _type(message, field)} for field in message.field}
    numbers = [number for span in message.reserved_range for number in range(span.start, span.end)]
    return {"members": members, "reserved": [*numbers, *message.reserved_name]}


def _type(message: DescriptorProto, field: FieldDescriptorProto) -> str:
    kind = field.type_name.lstrip(".") or _TYPES[field.type]
    group = f" in {message.oneof_decl[field.oneof_index].name}" if field.HasField("oneof_index") else ""
    return f"{'repeated ' if field.label == _REPEATED else ''}{kind}{group}"


def _enum(enum: EnumDescriptorProto) -> dict[str, Any]:
    members = {value.name: {"number": value.number} for value in enum.value}
    numbers = [number for span in enum.reserved_range for number in range(span.start, span.end + 1)]
    return {"members": members, "reserved": [*numbers, *enum.reserved_name]}


def breaking_changes(baseline: Mapping[str, Any], current: Mapping[str, Any]) -> list[str]:
    """Return the breaking changes, one sentence each.

    Args:
        baseline: description of the baseline.
        current: description of the current schemas.

    Returns:
        The breaking changes; empty when there are only additions.
    """
    return [
        change
        for kind in ("messages", "enums")
        for name, members in baseline[kind].items()
        for change in _breaking_changes_of(name, members, current[kind].get(name))
    ]


def _breaking_changes_of(
    name: str, baseline: Mapping[str, Any], current: Mapping[str, Any] | None
) -> Iterator[str]:
    if current is None:
        yield f"{name} was removed"
        return
    for member, old in baseline["members"].items():
        new = current["members"].get(member)
        if new is None:
            yield f"{name}.{member} (number {old['number']}) was removed"
        elif new["number"] != old["number"]:
            yield f"{name}.{member} changed its number from {old['number']} to {new['number']}"
        elif new.get("type") != old.get("type"):
            yield f"{name}.{member} changed its type from {old['type']} to {new['type']}"
    yield from _reused_numbers(name, baseline, current)


def _reused_numbers(name: str, baseline: Mapping[str, Any], current: Mapping[str, Any]) -> Iterator[str]:
    """Return numbers with a new meaning, and the use of reserved numbers and names."""
    owners = {old["number"]: member for member, old in baseline["members"].items()}
    for member, new in current["members"].items():
        owner = owners.get(new["number"], member)
        if owner != member:
            yield f"{name}: number {new['number']} of {owner} is reused for {member}"
        if {member, new["number"]} & set(baseline["reserved"]):
            yield f"{name}.{member} (number {new['number']}) is reserved"
    for reservation in baseline["reserved"]:
        if reservation not in current["reserved"]:
            yield f"{name}: {reservation} is no longer reserved"
