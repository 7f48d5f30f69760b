"""Commands in documents: whether they parse, so that no page tells a person to type what does not exist.

Lines of `esq` go through the parser of the command that they name. Lines of kubectl must name the kubeconfig,
a verb, and Deployments that exist, in their namespace.
"""

from __future__ import annotations

import importlib
import shlex
from typing import TYPE_CHECKING, Any

import typer

from cli.main import COMMANDS
from infra.names import DATA_NAMESPACE, SERVICES_NAMESPACE

if TYPE_CHECKING:
    from collections.abc import Callable

_LAUNCHER_VERBS = {"python"}
"""Verbs of the launcher `./esq`, which are no commands of the application."""
_SHELL_OPERATORS = frozenset(("|", "||", "&&", ";", ">", ">>"))
_KUBECTL_VERBS = frozenset(
    (
        *("annotate", "apply", "cordon", "cp", "create", "delete", "describe", "drain", "events", "exec"),
        *("get", "label", "logs", "patch", "rollout", "scale", "top", "uncordon", "wait"),
    )
)
_WORKLOAD_KINDS = frozenset(("deploy", "deployment"))
_EXAMPLES = {"CAMPAIGN": "01900000-0000-7000-8000-000000000000", "N": "1"}
"""Values for names in capitals, which a person replaces, where the command accepts only some values."""


def command_problems(line: str) -> list[str]:
    """Return what is wrong with a command line of `esq` or kubectl; a group alone is only a mention."""
    try:
        arguments = shlex.split(line, comments=True)
    except ValueError as error:
        return [f"the shell cannot read it: {error}"]
    end = next((index for index, word in enumerate(arguments) if word in _SHELL_OPERATORS), len(arguments))
    program, args = arguments[0], [_EXAMPLES.get(word, word) for word in arguments[1:end]]
    return _kubectl_problems(args) if program == "kubectl" else _esq_problems(args)


def _esq_problems(args: list[str]) -> list[str]:
    if not args or args[0] in _LAUNCHER_VERBS or "--help" in args:
        return []
    if args[0] not in COMMANDS:
        return [f"there is no command `{args[0]}`"]
    command = _find_command(args)
    if hasattr(command, "commands"):
        return [f"there is no subcommand `{args[0]}`"] if args else []
    if not args:
        return []
    return _parse(lambda: command.make_context(command.name, list(args))) or _workload_problems(
        command.name, args
    )


def _parse(parse: Callable[[], Any]) -> list[str]:
    try:
        parse()
    except Exception as error:
        message = getattr(error, "format_message", None)  # the framework's own class is private
        if message is None:
            raise
        return [message()]
    return []


def _find_command(args: list[str]) -> Any:  # noqa: ANN401 - the framework's own class is private
    """Return the command that the first arguments name, and remove these arguments."""
    name = args.pop(0)
    command: Any = typer.main.get_command(importlib.import_module(COMMANDS[name][0]).app)
    command = getattr(command, "commands", {}).get(name, command)
    while args and args[0] in getattr(command, "commands", {}):
        command = command.commands[args.pop(0)]
    return command


def _workload_problems(command: str | None, args: list[str]) -> list[str]:
    """Check the workload that `esq logs | exec | port-forward` names."""
    from cli.actions.workloads import WORKLOADS  # noqa: PLC0415 - imports the client of Kubernetes

    names = {"logs": args[1:], "exec": args[1:2], "port-forward": args[1:2]}.get(command or "", [])
    return [
        f"there is no workload `{name}`"
        for name in names
        if name.islower() and name[0].isalpha() and not name.isdecimal() and name not in WORKLOADS
    ]


def _kubectl_problems(args: list[str]) -> list[str]:
    problems = (
        [] if "--kubeconfig" in args else ["kubectl does not name the kubeconfig: write `{{ kubectl }}`"]
    )
    positional = _positional(args)
    if positional and positional[0] not in _KUBECTL_VERBS:
        problems.append(f"kubectl has no verb `{positional[0]}` that a runbook may use")
    return problems + _deployment_problems(args, positional)


def _positional(args: list[str]) -> list[str]:
    """Return the arguments before `--` that are neither options nor values of the global ones."""
    arguments = args[: args.index("--")] if "--" in args else args
    options = ("--kubeconfig", "-n", "--namespace")
    return [
        word
        for index, word in enumerate(arguments)
        if not word.startswith("-") and (index == 0 or arguments[index - 1] not in options)
    ]


def _deployment_problems(args: list[str], positional: list[str]) -> list[str]:
    from cli.actions.workloads import WORKLOADS  # noqa: PLC0415 - imports the client of Kubernetes

    namespace = args[args.index("-n") + 1] if "-n" in args else ""
    references = [word.partition("/") for word in positional]
    names = [name for kind, _, name in references if kind in _WORKLOAD_KINDS and name and name.islower()]
    return [
        f"there is no Deployment `{name}` in namespace `{namespace}`"
        for name in names
        if namespace in {DATA_NAMESPACE, SERVICES_NAMESPACE}
        and (name not in WORKLOADS or WORKLOADS[name].namespace != namespace)
    ]
