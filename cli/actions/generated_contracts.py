"""Committed files that are generated from the contracts: schema baseline and AsyncAPI document."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from infra.errors import EsqError
from services.contracts.schema_compatibility import (
    REMEDY_BREAKING,
    SchemaDescription,
    breaking_changes,
    describe_schema,
)

BASELINE = Path("services/contracts/v1/baseline.yaml")
ASYNCAPI = Path("docs/asyncapi.yaml")


def regenerate(project: Path) -> list[Path]:
    """Write both files; return their paths.

    Raises:
        EsqError: the schemas break compatibility with the baseline, which is therefore kept.
    """
    schema = current_schema()
    problems = breaking_changes(baseline(project), schema)
    if problems:
        raise EsqError(
            "the schemas break compatibility",
            location=str(BASELINE),
            remedy=REMEDY_BREAKING,
            detail="\n".join(f"- {problem}" for problem in problems),
        )
    (project / BASELINE).write_text(dump(schema), encoding="utf-8")
    (project / ASYNCAPI).write_text(dump(asyncapi()), encoding="utf-8")
    return [BASELINE, ASYNCAPI]


def current_schema() -> SchemaDescription:
    """Return the description of the current schemas."""
    from google.protobuf.descriptor_pb2 import FileDescriptorProto  # noqa: PLC0415 - only generating needs it

    from services.contracts.v1 import events_pb2  # noqa: PLC0415 - may just have been generated

    file = FileDescriptorProto()
    events_pb2.DESCRIPTOR.CopyToProto(file)
    return describe_schema(file)


def baseline(project: Path) -> SchemaDescription:
    """Return the schemas of the baseline; empty when there is none."""
    file = project / BASELINE
    if not file.is_file():
        return {"messages": {}, "enums": {}}
    schema: SchemaDescription = yaml.safe_load(file.read_text(encoding="utf-8"))
    return schema


def asyncapi() -> dict[str, Any]:
    """Return the AsyncAPI document."""
    from services.contracts.asyncapi import build_document  # noqa: PLC0415 - imports generated code

    return build_document()


def dump(values: Any) -> str:  # noqa: ANN401 - plain values of any form
    """Return values as YAML with readable diffs: no aliases, keys in the given order."""

    class Plain(yaml.SafeDumper):
        def ignore_aliases(self, data: Any) -> bool:  # noqa: ANN401, ARG002 - the library's signature
            return True

    return yaml.dump(values, Dumper=Plain, sort_keys=False, allow_unicode=True, width=110)
