"""Commands in runbooks and recovery documents exist, with their arguments and options."""

from __future__ import annotations

from pathlib import Path

import pytest

from cli.documented_commands import command_problems
from runbooks import page, references

PROJECT = Path(__file__).resolve().parents[3]
DOCUMENTS = [
    *sorted(PROJECT.glob("runbooks/**/*.md")),
    PROJECT / "docs/disaster-recovery.md",
    PROJECT / "docs/fault-injection-results.md",
]
NAMES = {"env": "ENV", "kubectl": "kubectl --kubeconfig KUBECONFIG", "url": "https://EDGE"}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.stem)
def test_documented_commands_exist(document: Path) -> None:
    lines = references.commands(page.fill(document.read_text(), NAMES))
    invalid = {line: command_problems(line) for line in lines}
    assert {line: reasons for line, reasons in invalid.items() if reasons} == {}


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("esq nothing", "there is no command `nothing`"),
        ("esq chaos nothing", "there is no subcommand `nothing`"),
        ("esq chaos run ENV disk-full --nothing", "No such option: --nothing"),
        ("esq chaos run ENV", "Missing argument 'EXPERIMENT'"),
        ("esq chaos run ENV disk-full --runs many", "Invalid value for '--runs'"),
        ("esq status ENV local", "unexpected extra argument"),
        ("esq logs ENV campaigns-nothing", "there is no workload `campaigns-nothing`"),
        ("esq status 'ENV", "the shell cannot read it"),
        ("kubectl -n esq-data get pods", "kubectl does not name the kubeconfig"),
        ("kubectl --kubeconfig K -n esq-data gets pods", "kubectl has no verb `gets`"),
        (
            "kubectl --kubeconfig K -n esq-data logs deployment/whatsapp-worker",
            "there is no Deployment `whatsapp-worker` in namespace `esq-data`",
        ),
    ],
)
def test_invalid_commands_are_recognised(line: str, reason: str) -> None:
    assert any(reason in problem for problem in command_problems(line)), command_problems(line)


@pytest.mark.parametrize(
    "line",
    [
        "esq chaos run ENV disk-full --runs 3",
        "./esq python -m pytest PATH",
        "esq dlq",
        "esq psql ENV -- -c 'SELECT 1' | head",
        "esq exec ENV kafka -- python3 /etc/esq/kafka/probe.py",
        "esq logs ENV campaigns-api --since 10m | grep -c error",
        "kubectl --kubeconfig K -n esq-services logs deployment/whatsapp-worker --tail=20 | grep x",
        "kubectl --kubeconfig K get nodes",
    ],
)
def test_valid_commands_have_no_problem(line: str) -> None:
    assert command_problems(line) == []
