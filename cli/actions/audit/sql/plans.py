"""Plans of Postgres: what they scan, discard and read, and their shape without figures. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_DISCARDED = ("Rows Removed by Filter", "Rows Removed by Index Recheck", "Rows Removed by Join Filter")
_TARGETS = ("Relation Name", "Index Name", "CTE Name", "Function Name")


@dataclass(frozen=True)
class Plan:
    """A plan that was executed.

    Attributes:
        shape: a line for each node, indented by its depth: type, relation and index.
        scanned_tables: tables that are read from beginning to end.
        discarded_rows: rows that were read and then removed by a condition, in all loops.
        blocks: blocks of 8 KiB read from memory or disk.
        temporary_blocks: blocks written to temporary files, because memory did not suffice.
    """

    shape: tuple[str, ...]
    scanned_tables: tuple[str, ...]
    discarded_rows: int
    blocks: int
    temporary_blocks: int


def parse_plan(document: Mapping[str, Any]) -> Plan:
    """Return the plan in a document of `EXPLAIN (FORMAT JSON)` or auto_explain."""
    root = document["Plan"]
    nodes = [(depth, node) for depth, node in _walk(root, 0)]
    return Plan(
        shape=tuple(f"{'  ' * depth}{_label(node)}" for depth, node in nodes),
        scanned_tables=tuple(
            dict.fromkeys(node["Relation Name"] for _, node in nodes if _is_executed_scan(node))
        ),
        discarded_rows=sum(_discarded(node) for _, node in nodes),
        blocks=root.get("Shared Hit Blocks", 0) + root.get("Shared Read Blocks", 0),
        temporary_blocks=root.get("Temp Written Blocks", 0),
    )


def _walk(node: Mapping[str, Any], depth: int) -> Iterator[tuple[int, Mapping[str, Any]]]:
    yield depth, node
    for child in node.get("Plans", ()):
        yield from _walk(child, depth + 1)


def _label(node: Mapping[str, Any]) -> str:
    """Return the node in words. The number of partitions or workers that ran is left out."""
    targets = [str(node[name]) for name in _TARGETS if name in node]
    kind = f"{node['Join Type']} {node['Node Type']}" if "Join Type" in node else node["Node Type"]
    operation = f"{node['Operation']} " if "Operation" in node else ""
    backward = " backward" if node.get("Scan Direction") == "Backward" else ""
    return f"{operation}{kind}{backward}" + (f" on {', '.join(targets)}" if targets else "")


def _is_executed_scan(node: Mapping[str, Any]) -> bool:
    return node["Node Type"] == "Seq Scan" and bool(node.get("Actual Loops"))


def _discarded(node: Mapping[str, Any]) -> int:
    """Return the rows that a node removed; Postgres reports the average of its loops."""
    return int(sum(node.get(name, 0) for name in _DISCARDED) * node.get("Actual Loops", 1))
