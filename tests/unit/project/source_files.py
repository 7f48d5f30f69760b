"""The project's own Python files, parsed once for the checks of this folder."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[3]
PACKAGES = ("benchmarks", "chaos", "cli", "infra", "loadtests", "runbooks", "services", "stacks", "tests")


@cache
def modules() -> dict[str, ast.Module]:
    """Return every module by its path relative to the project, without generated code."""
    return {
        str(path.relative_to(PROJECT)): ast.parse(path.read_text())
        for package in PACKAGES
        for path in sorted((PROJECT / package).rglob("*.py"))
        if not path.name.endswith("_pb2.py")
    }
