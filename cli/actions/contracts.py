"""What is made from the contracts and kept in git: the baseline of the schemas and the AsyncAPI document."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from infra.errors import EsqError
from services.contracts.compatibility import WAY_ON, Listing, breaks, listing

BASELINE = Path("services/contracts/v1/baseline.yaml")
ASYNCAPI = Path("docs/asyncapi.yaml")


def renew(project: Path) -> list[Path]:
    """Write both; return their paths.

    Raises:
        EsqError: the schemas break what the baseline promises, which therefore stays as it is.
    """
    current = present()
    faults = breaks(baseline(project), current)
    if faults:
        raise EsqError(
            "the schemas break what others rely on",
            location=str(BASELINE),
            remedy=WAY_ON,
            detail="\n".join(f"- {fault}" for fault in faults),
        )
    (project / BASELINE).write_text(dump(current), encoding="utf-8")
    (project / ASYNCAPI).write_text(dump(asyncapi()), encoding="utf-8")
    return [BASELINE, ASYNCAPI]


def present() -> Listing:
    """Return the schemas as they are now."""
    from google.protobuf.descriptor_pb2 import FileDescriptorProto  # noqa: PLC0415 - only generating needs it

    from services.contracts.v1 import events_pb2  # noqa: PLC0415 - may just have been generated

    file = FileDescriptorProto()
    events_pb2.DESCRIPTOR.CopyToProto(file)
    return listing(file)


def baseline(project: Path) -> Listing:
    """Return the schemas as they were promised; nothing when there is no baseline yet."""
    file = project / BASELINE
    if not file.is_file():
        return {"messages": {}, "enums": {}}
    found: Listing = yaml.safe_load(file.read_text(encoding="utf-8"))
    return found


def asyncapi() -> dict[str, Any]:
    """Return the document as it should be."""
    from services.contracts.asyncapi import document  # noqa: PLC0415 - imports generated code

    return document()


def dump(values: Any) -> str:  # noqa: ANN401 - plain values of any form
    """Return values as YAML that a diff reads well: everything written out, in the order given."""

    class Plain(yaml.SafeDumper):
        def ignore_aliases(self, data: Any) -> bool:  # noqa: ANN401, ARG002 - the library's signature
            return True

    return yaml.dump(values, Dumper=Plain, sort_keys=False, allow_unicode=True, width=110)
