"""Stacks with weights, e.g. samples or bytes: the functions that cost most, and a flame graph. Pure."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

MIN_SHARE = 0.004
"""Narrower boxes of a flame graph could not be read."""
MAX_DEPTH = 60
_LINE = re.compile(r":\d+\)$")


@dataclass(frozen=True)
class FunctionCost:
    """Cost of a function.

    Attributes:
        name: function and file.
        own: share of all weight that is in the function itself.
        total: share that is in it and in what it calls.
    """

    name: str
    own: float
    total: float


@dataclass(frozen=True)
class Box:
    """A box of a flame graph; 1 is the whole width.

    Attributes:
        name: function and file.
        depth: number of callers.
        start: position of its left edge.
        share: its width.
    """

    name: str
    depth: int
    start: float
    share: float


@dataclass
class _Node:
    weight: int = 0
    children: dict[str, _Node] = field(default_factory=dict)


def parse_stacks(text: str) -> Counter[tuple[str, ...]]:
    """Return the weight of each stack of a text with lines such as `main (a.py:1);run (b.py:2) 17`.

    Numbers of lines are left out, so that the stacks of two versions can be compared.
    """
    stacks: Counter[tuple[str, ...]] = Counter()
    for line in text.splitlines():
        stack, _, weight = line.rpartition(" ")
        if stack and weight.isdigit():
            stacks[tuple(_LINE.sub(")", frame) for frame in stack.split(";"))] += int(weight)
    return stacks


def render_stacks(stacks: Mapping[tuple[str, ...], int]) -> str:
    """Return the text that `parse_stacks` reads, and other tools too."""
    return "".join(f"{';'.join(stack)} {weight}\n" for stack, weight in sorted(stacks.items()))


def costliest(stacks: Mapping[tuple[str, ...], int], count: int) -> list[FunctionCost]:
    """Return the functions with the highest own cost.

    Args:
        stacks: weight by stack.
        count: number of functions.
    """
    own: Counter[str] = Counter()
    total: Counter[str] = Counter()
    for stack, weight in stacks.items():
        own[stack[-1]] += weight
        for name in set(stack):
            total[name] += weight
    all_weight = sum(stacks.values()) or 1
    return [
        FunctionCost(name, weight / all_weight, total[name] / all_weight)
        for name, weight in own.most_common(count)
    ]


def flame_graph(stacks: Mapping[tuple[str, ...], int]) -> list[Box]:
    """Return the boxes of a flame graph, callers first."""
    root = _Node()
    for stack, weight in stacks.items():
        node = root
        node.weight += weight
        for name in stack[:MAX_DEPTH]:
            node = node.children.setdefault(name, _Node())
            node.weight += weight
    return list(_boxes(root, 0, 0.0, root.weight or 1))


def _boxes(node: _Node, depth: int, start: float, all_weight: int) -> Iterator[Box]:
    for name, child in sorted(node.children.items()):
        share = child.weight / all_weight
        if share >= MIN_SHARE:
            yield Box(name, depth, start, share)
            yield from _boxes(child, depth + 1, start, all_weight)
        start += share
