"""Names and docstrings: no identifier consists of everyday words; docstrings document the arguments."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import TYPE_CHECKING

from tests.unit.project.source_files import PROJECT, modules

if TYPE_CHECKING:
    from collections.abc import Iterator

BANNED = frozenset(Path(__file__).with_name("banned_words.txt").read_text().split())
"""Words that nobody searches for. An identifier may contain one (`found_at`), but must not consist of them."""
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
_SQL_NAME = re.compile(r"\b(?:AS|WITH(?: RECURSIVE)?) (\w+)|(\w+) AS (?:(?:NOT )?MATERIALIZED )?\(")
_TYPER_OR_FASTAPI = ("command", "router", "callback", "override", "overload", "fixture")
_ARGUMENTS = re.compile(r"^Args:\n((?:    .*\n|\n)+)", re.MULTILINE)
_ARGUMENT = re.compile(r"^    \**(\w+)(?: \([^)]*\))?:", re.MULTILINE)


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
            case (
                ast.MatchAs(name=str(name)) | ast.MatchStar(name=str(name)) | ast.MatchMapping(rest=str(name))
            ):
                yield node.lineno, name


def sql_names(text: str) -> Iterator[tuple[int, str]]:
    """Yield line and name of every alias and common table expression of SQL."""
    for line, content in enumerate(text.splitlines(), start=1):
        for names in _SQL_NAME.findall(content.partition("--")[0]):
            yield line, "".join(names)


def is_banned(name: str) -> bool:
    parts = _WORD.findall(name)
    return bool(parts) and all(part.lower() in BANNED for part in parts)


def parameters(function: ast.FunctionDef | ast.AsyncFunctionDef) -> set[str]:
    arguments = [node.arg for node in ast.walk(function.args) if isinstance(node, ast.arg)]
    return set(arguments) - {"self", "cls"}


def functions(module: ast.Module) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(module):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def undocumented(module: ast.Module) -> Iterator[tuple[int, str]]:
    """Yield line and name of public functions with two or more arguments and no `Args:` section."""
    for function in functions(module):
        arguments = [*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs]
        count = len([argument for argument in arguments if argument.arg not in {"self", "cls"}])
        docstring = ast.get_docstring(function) or ""
        decorators = " ".join(ast.unparse(decorator) for decorator in function.decorator_list)
        is_exempt = function.name.startswith("_") or any(word in decorators for word in _TYPER_OR_FASTAPI)
        if count > 1 and not is_exempt and "Args:" not in docstring and not docstring.startswith("See "):
            yield function.lineno, function.name


def misdocumented(module: ast.Module) -> Iterator[tuple[int, str]]:
    """Yield line and name of functions and classes whose `Args:` names other arguments than the signature."""
    documented = [(function, function) for function in functions(module)]
    classes = [node for node in ast.walk(module) if isinstance(node, ast.ClassDef)]
    constructors = [
        (node, method)
        for node in classes
        for method in node.body
        if isinstance(method, ast.FunctionDef) and method.name == "__init__"
    ]
    for node, function in (*documented, *constructors):
        section = _ARGUMENTS.search((ast.get_docstring(node) or "") + "\n")
        if section and set(_ARGUMENT.findall(section[1])) != parameters(function):
            yield node.lineno, node.name


def test_no_identifier_consists_of_banned_words() -> None:
    violations = [
        f"{path}:{line}: {name}"
        for path, module in modules().items()
        for line, name in identifiers(module)
        if is_banned(name)
    ]
    assert violations == []


def test_no_sql_name_consists_of_banned_words() -> None:
    violations = [
        f"{path.relative_to(PROJECT)}:{line}: {name}"
        for path in sorted((PROJECT / "services").rglob("*.sql"))
        for line, name in sql_names(path.read_text())
        if is_banned(name)
    ]
    assert violations == []


def test_no_module_is_named_by_banned_words() -> None:
    assert [path for path in modules() if is_banned(Path(path).stem)] == []


def test_public_functions_with_several_arguments_document_them() -> None:
    violations = [
        f"{path}:{line}: {name}"
        for path, module in modules().items()
        if not path.startswith("tests/") and "/migrations/" not in path
        for line, name in undocumented(module)
    ]
    assert violations == []


def test_documented_arguments_are_those_of_the_signature() -> None:
    violations = [
        f"{path}:{line}: {name}" for path, module in modules().items() for line, name in misdocumented(module)
    ]
    assert violations == []


def test_checks_recognise_violations() -> None:
    source = 'def lookAgain(first, told):\n    """Do.\n\n    Args:\n        first: x.\n    """\n'
    source += "    for _found_one in told: ...\n    match first:\n        case [*things] | {**news}: ...\n"
    module = ast.parse(source + "def look(found_at, news_url): ...\n")
    sql = "WITH given AS (\n  SELECT 1 AS amount), taken AS MATERIALIZED (SELECT 2 AS each) -- AS it"

    assert [name for _, name in identifiers(module) if is_banned(name)] == [
        "lookAgain",
        "look",
        "told",
        "_found_one",
        "news",
        "things",
    ]
    assert [name for _, name in sql_names(sql) if is_banned(name)] == ["given", "taken", "each"]
    assert list(misdocumented(module)) == [(1, "lookAgain")]
    assert [name for _, name in undocumented(module)] == ["look"]
