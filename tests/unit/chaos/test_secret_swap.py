"""Replacement of a Secret's values: no value appears in arguments, journal or report."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from kubernetes.client.exceptions import ApiException

from chaos import journal, secret_swap
from chaos.activities import services
from chaos.context import Context, activate
from chaos.journal import UndoJournal
from infra import guarded_commands
from infra.progress import RecordedStep
from infra.subprocesses import PYTHON_MODULE

if TYPE_CHECKING:
    from collections.abc import Sequence

VALUES = {"tls.key": "-----BEGIN PRIVATE KEY-----"}


def test_swap_reads_the_new_values_from_a_file_and_deletes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[tuple[Any, ...]] = []
    monkeypatch.setattr(secret_swap, "api_client", lambda _: None)
    monkeypatch.setattr(secret_swap, "swap", lambda _, *arguments: calls.append(arguments))
    values_file = tmp_path / "values.json"
    values_file.write_text(json.dumps(VALUES))

    secret_swap.main("swap", "kubeconfig", "esq", "contacts-api", "contacts-api-tls", str(values_file))

    assert calls == [("esq", "contacts-api", "contacts-api-tls", VALUES)]
    assert not values_file.exists()


def test_commands_and_journal_contain_no_value(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commands: list[Sequence[str]] = []
    journal_texts: list[str] = []
    modes: list[int] = []

    def start(argv: Sequence[str], _mark: str) -> None:
        commands.append(argv)
        journal_texts.extend(file.read_text() for file in tmp_path.glob("*.json"))
        if "swap" in argv:
            values_file = Path(argv[-1])
            modes.append(stat.S_IMODE(values_file.stat().st_mode))
            assert json.loads(values_file.read_text()) == VALUES

    monkeypatch.setattr(guarded_commands, "start", start)
    monkeypatch.setattr(journal, "wait_for_output", lambda *_, **__: "")
    target: Any = SimpleNamespace(kubeconfig="kubeconfig", journal=UndoJournal(tmp_path))
    context = Context(target=target, experiment="test", step=RecordedStep("test"))

    activate(context)
    try:
        services._swap_secret("contacts-api", "contacts-api-tls", VALUES, "certificate-expired")
        context.undo()
    finally:
        activate(None)

    address = ("kubeconfig", "esq-services", "contacts-api", "contacts-api-tls")
    swap, remove, restore = commands
    assert remove == ("rm", "-rf", str(Path(swap[-1]).parent))  # which a killed tool would leave
    assert tuple(swap[:-1]) == (*PYTHON_MODULE, "chaos.secret_swap", "swap", *address)
    assert tuple(restore) == (*PYTHON_MODULE, "chaos.secret_swap", "restore", *address)
    assert modes == [0o600]
    assert not Path(swap[-1]).exists()
    report = [str(annotation) for annotation in context.annotations]
    assert journal_texts
    assert not [text for text in (*map(str, commands), *journal_texts, *report) if "PRIVATE KEY" in text]


def test_restore_goes_on_when_a_pod_is_gone() -> None:
    """A pod may vanish between the list and its deletion; the copy must be deleted nevertheless."""
    deleted: list[str] = []
    metadata = SimpleNamespace(creation_timestamp=1, name="contacts-api-1")
    core_api: Any = SimpleNamespace(
        read_namespaced_secret=lambda *_: SimpleNamespace(data={}, metadata=metadata),
        patch_namespaced_secret=lambda *_: None,
        list_namespaced_pod=lambda *_, **__: SimpleNamespace(items=[SimpleNamespace(metadata=metadata)]),
        delete_namespaced_pod=_missing,
        delete_namespaced_secret=lambda name, _: deleted.append(name),
    )
    secret_swap.restore(core_api, "esq", "contacts-api", "contacts-api")
    assert deleted == ["contacts-api-before-chaos"]


def _missing(*_: object) -> None:
    raise ApiException(status=404)
