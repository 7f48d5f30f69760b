"""Names and docstrings: no identifier consists of an everyday word; public functions document their arguments."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import TYPE_CHECKING

from tests.unit.project.source_files import modules

if TYPE_CHECKING:
    from collections.abc import Iterator

BANNED = frozenset(Path(__file__).with_name("banned_words.txt").read_text().split())
"""Words that nobody searches for. An identifier may contain one (`found_at`), but must not consist of one."""
_TYPER_OR_FASTAPI = ("command", "router", "callback", "override", "overload", "fixture")


def identifiers(module: ast.Module) -> Iterator[tuple[int, str]]:
    """Yield line and name of everything that a module defines."""
    for node in ast.walk(module):
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                yield node.lineno, node.name
            case ast.arg():
                yield node.lineno, node.arg
            case ast.Name(ctx=ast.Store()):
                yield node.lineno, node.id
            case ast.Attribute(ctx=ast.Store()):
                yield node.lineno, node.attr
            case ast.alias(asname=str(name)) | ast.ExceptHandler(name=str(name)):
                yield node.lineno, name


def is_banned(name: str) -> bool:
    return name.strip("_").lower() in BANNED


def undocumented(module: ast.Module) -> Iterator[tuple[int, str]]:
    """Yield line and name of public functions with two or more arguments and no `Args:` section."""
    for node in ast.walk(module):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) or node.name.startswith("_"):
            continue
        arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
        count = len([argument for argument in arguments if argument.arg not in {"self", "cls"}])
        docstring = ast.get_docstring(node) or ""
        decorators = " ".join(ast.unparse(decorator) for decorator in node.decorator_list)
        is_entry_point = any(word in decorators for word in _TYPER_OR_FASTAPI)
        if count > 1 and not is_entry_point and "Args:" not in docstring and not docstring.startswith("See "):
            yield node.lineno, node.name


def test_no_identifier_consists_of_a_banned_word() -> None:
    violations = [
        f"{path}:{line}: {name}"
        for path, module in modules().items()
        for line, name in identifiers(module)
        if is_banned(name)
    ]
    assert violations == []


def test_no_module_is_named_by_a_banned_word() -> None:
    assert [path for path in modules() if is_banned(Path(path).stem)] == []


def test_public_functions_with_several_arguments_document_them() -> None:
    violations = [
        f"{path}:{line}: {name}"
        for path, module in modules().items()
        if not path.startswith("tests/") and "/migrations/" not in path
        for line, name in undocumented(module)
    ]
    assert violations == []


def test_checks_recognise_violations() -> None:
    module = ast.parse("def look(first, told):\n    for _found in told: ...\n")

    assert [name for _, name in identifiers(module) if is_banned(name)] == ["look", "told", "_found"]
    assert list(undocumented(module)) == [(1, "look")]
