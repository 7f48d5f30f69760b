"""`esq config show | set`: fields of a definition, and their file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cli.actions import environments
from cli.actions.definition_fields import read_field, set_field
from cli.main import run
from infra.errors import ProblemsError, UsageError
from tests.unit.cli.definitions import write_definition


@pytest.fixture(autouse=True)
def file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The filled in template of `staging`."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("ESQ_ENVIRONMENTS_DIR", str(tmp_path))
    write_definition(tmp_path, "other")
    file = environments.write_template("staging")
    digest = "sha256:" + "0" * 64
    text = file.read_text().replace("~/.kube/config", "kubeconfig")
    file.write_text(text.replace("sha256:DIGEST", digest))
    return file


def test_set_field_keeps_comments_and_order(file: Path) -> None:
    before = file.read_text().splitlines()
    set_field("staging", "storage_class", "io2")
    after = file.read_text().splitlines()
    changed = [(old, new) for old, new in zip(before, after, strict=True) if old != new]
    assert changed == [("storage_class: gp3", "storage_class: io2")]


def test_set_field_creates_mappings_and_reads_values_as_yaml() -> None:
    set_field("staging", "replicas.whatsapp-dispatcher", "3")
    set_field("staging", "sizes.postgres.memory", "16Gi")
    assert read_field("staging", "replicas") == {"whatsapp-dispatcher": 3}
    assert read_field("staging", "sizes.postgres.memory") == "16Gi"
    assert read_field("staging", "sizes.redis.memory") == "2Gi"


def test_null_removes_a_field(file: Path) -> None:
    set_field("staging", "replicas.campaigns-api", "3")
    set_field("staging", "replicas", "null")
    assert "replicas:" not in [line for line in file.read_text().splitlines() if not line.startswith("#")]


def test_invalid_value_changes_nothing(file: Path) -> None:
    before = file.read_text()
    with pytest.raises(ProblemsError) as error:
        set_field("staging", "zones", "[a, a]")
    assert "zones" in str(error.value.problems[0])
    assert file.read_text() == before


@pytest.mark.parametrize(
    ("environment", "field", "message"),
    [
        ("local", "zones", "built in"),
        ("staging", "storage_class.name", "has no fields"),
        ("stagin", "zones", "no environment"),
    ],
)
def test_impossible_changes_are_refused(environment: str, field: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        set_field(environment, field, "x")


def test_unknown_field_is_refused_with_a_suggestion() -> None:
    with pytest.raises(UsageError) as error:
        read_field("local", "storage_clas")
    assert "storage_class" in error.value.remedy


def test_show_prints_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["config", "show", "local", "zones", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["value"] == ["zone-a", "zone-b", "zone-c"]
