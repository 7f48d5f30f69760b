"""Commands in runbooks and recovery documents exist, with their arguments and options."""

from __future__ import annotations

import importlib
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer

from cli.main import COMMANDS

PROJECT = Path(__file__).resolve().parents[3]
DOCUMENTS = [
    *sorted(PROJECT.glob("runbooks/*.md")),
    PROJECT / "docs/disaster-recovery.md",
    PROJECT / "docs/fault-injection-results.md",
]
_INLINE = re.compile(r"`(?:\./)?(esq [^`]+)`")
_BLOCK = re.compile(r"^    (?:\./)?(esq .+)$", re.MULTILINE)
_LAUNCHER_VERBS = {"python"}
"""Verbs of the launcher `./esq`, which are no commands of the application."""


def documented_commands(document: Path) -> list[str]:
    text = document.read_text()
    return sorted({*_INLINE.findall(text), *_BLOCK.findall(text)})


def load_command(args: list[str]) -> Any:
    """Return the command named by the first arguments, and remove these arguments."""
    name = args.pop(0)
    command: Any = typer.main.get_command(importlib.import_module(COMMANDS[name][0]).app)
    command = getattr(command, "commands", {}).get(name, command)
    while args and args[0] in getattr(command, "commands", {}):
        command = command.commands[args.pop(0)]
    return command


def problems(line: str) -> list[str]:
    """Return what is wrong with a command line; a command without arguments is only a mention."""
    args = shlex.split(line, comments=True)[1:]
    if args[0] in _LAUNCHER_VERBS or args[-1] == "--help":
        return []
    if args[0] not in COMMANDS:
        return [f"no command {args[0]}"]
    command = load_command(args)
    if hasattr(command, "commands"):
        return [f"no subcommand {args[0]}"] if args else []
    return argument_problems(command, args) if args else []


def argument_problems(command: Any, args: list[str]) -> list[str]:
    options = {name: option for option in command.params for name in option.opts if name.startswith("-")}
    arguments = [argument for argument in command.params if argument.param_type_name == "argument"]
    positional: list[str] = []
    while args:
        word = args.pop(0)
        if not word.startswith("--"):
            positional.append(word)
        elif word not in options:
            return [f"no option {word}"]
        elif not options[word].is_flag:
            args.pop(0)
    required = sum(argument.required for argument in arguments)
    unlimited = bool(command.context_settings.get("allow_extra_args")) or any(
        argument.nargs == -1 for argument in arguments
    )
    if len(positional) < required or (len(positional) > len(arguments) and not unlimited):
        return [f"arguments {positional} for {[argument.name for argument in arguments]}"]
    return []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.stem)
def test_documented_commands_exist(document: Path) -> None:
    invalid = {line: problems(line) for line in documented_commands(document)}
    assert {line: reasons for line, reasons in invalid.items() if reasons} == {}


def test_invalid_commands_are_recognised() -> None:
    assert problems("esq nothing") == ["no command nothing"]
    assert problems("esq chaos nothing") == ["no subcommand nothing"]
    assert problems("esq chaos run ENV disk-full --nothing") == ["no option --nothing"]
    assert problems("esq chaos run ENV") != []
    assert problems("esq chaos run ENV disk-full --runs 3") == []
