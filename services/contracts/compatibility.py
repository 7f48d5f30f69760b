"""Whether a change to the schemas breaks somebody: held against the baseline that is in git.

Records stay in topics for weeks and two releases run side by side during every deploy, so whatever was
written once must be readable by those before and after. Pure functions of plain values: the baseline is a
listing as YAML, in which a reviewer sees what a change does.
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


Listing = dict[str, dict[str, Any]]
WAY_ON = (
    "The release before, and whoever reads a record of last week, would misread it. Put it back as it was and"
    " add a field, value or message with a new number beside it; let readers learn it one release before"
    " writers use it. What is no longer wanted stays, with a comment that nobody writes it."
)
RENEW = "`./esq generate` adds it to services/contracts/v1/baseline.yaml; commit that with the change."
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


def listing(file: FileDescriptorProto) -> Listing:
    """Return the messages and enums of a file as plain values.

    Returns:
        `messages` and `enums` by full name, each with `members` (number by name, and type for fields) and
        `reserved` (numbers and names that are not to be used).
    """
    return {
        "messages": {f"{file.package}.{each.name}": _message(each) for each in file.message_type},
        "enums": {f"{file.package}.{each.name}": _enum(each) for each in file.enum_type},
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


def breaks(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """Return what a change breaks, a sentence each; empty when it only adds."""
    return [
        fault
        for kind in ("messages", "enums")
        for name, known in before[kind].items()
        for fault in _faults(name, known, after[kind].get(name))
    ]


def _faults(name: str, before: Mapping[str, Any], after: Mapping[str, Any] | None) -> Iterator[str]:
    if after is None:
        yield f"{name} was removed"
        return
    for member, known in before["members"].items():
        now = after["members"].get(member)
        if now is None:
            yield f"{name}.{member} (number {known['number']}) was removed"
        elif now["number"] != known["number"]:
            yield f"{name}.{member} had number {known['number']} and has {now['number']} now"
        elif now.get("type") != known.get("type"):
            yield f"{name}.{member} was of type {known['type']} and is of type {now['type']} now"
    yield from _reused(name, before, after)


def _reused(name: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[str]:
    """Numbers that mean something else now, and those that were never to be used again."""
    owners = {known["number"]: member for member, known in before["members"].items()}
    for member, now in after["members"].items():
        owner = owners.get(now["number"], member)
        if owner != member:
            yield f"{name}: number {now['number']} was {owner} and is used again for {member}"
        if {member, now["number"]} & set(before["reserved"]):
            yield f"{name}.{member} (number {now['number']}) is reserved"
    for left in before["reserved"]:
        if left not in after["reserved"]:
            yield f"{name}: {left} is no longer reserved"


def additions(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """Return what is new, by name."""
    return [
        f"{name}.{member}"
        for kind in ("messages", "enums")
        for name, now in after[kind].items()
        for member in now["members"]
        if member not in before[kind].get(name, {"members": ()})["members"]
    ]
