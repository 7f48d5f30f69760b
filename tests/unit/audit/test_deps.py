"""Audit of the dependencies: inventory, licences, advisories and policy, without tools and without a network."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from cli.actions.audit.deps.advisories import check_advisories, is_affected, version_key
from cli.actions.audit.deps.checks import Findings, check_duplicates, check_licences
from cli.actions.audit.deps.inventory import (
    CRATES,
    GO,
    MAVEN,
    PYPI,
    Component,
    Part,
    parse_cargo_lock,
    parse_go_mod,
    parse_jars,
    parse_lock,
    read_parts,
)
from cli.actions.audit.deps.licences import classify, is_allowed
from cli.actions.audit.deps.policy import load_policy
from infra.errors import UsageError

FLASK = Component(PYPI, "flask", "2.0.1")
ADVISORY = {
    "id": "PYSEC-1",
    "aliases": ["CVE-1"],
    "modified": "2026-01-02T00:00:00Z",
    "summary": "Reads any file.",
    "affected": [
        {
            "package": {"ecosystem": "PyPI", "name": "Flask"},
            "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "2.0.2"}]}],
        }
    ],
}


def archive(folder: Path, *advisories: dict[str, Any]) -> Path:
    path = folder / "all.zip"
    with zipfile.ZipFile(path, "w") as file:
        for number, advisory in enumerate(advisories):
            file.writestr(f"{number}.json", json.dumps(advisory))
    return path


def test_parts_are_the_toolkit_the_images_and_every_tool() -> None:
    parts = {part.name: part for part in read_parts()}

    assert {"toolkit", "image services", "image postgres", "tool kafka", "tool coredns"} <= parts.keys()
    assert all(part.components for part in parts.values())
    assert "sqlalchemy" in {component.name for component in parts["image services"].components}
    assert Component(GO, "k8s.io/api", "v0.34.4") in parts["tool kubernetes"].components


def test_lock_file_is_parsed_with_hashes() -> None:
    lock = f"# comment\nFoo_Bar==1.2 ; python_version < '3.12' \\\n    --hash=sha256:{'a' * 64}\nbaz==2\n"

    assert list(parse_lock(lock)) == [
        Component(PYPI, "foo-bar", "1.2", ("a" * 64,)),
        Component(PYPI, "baz", "2"),
    ]


def test_go_modules_follow_their_replacements() -> None:
    go_mod = (
        "module esq/x\n\ngo 1.26.0\n\nrequire github.com/a/b v1.0.0 // indirect\n\nrequire (\n\tk8s.io/api v0.0.0\n"
        "\tgopkg.in/yaml.v3 v3.0.1\n)\n\nreplace k8s.io/api => k8s.io/api v0.34.4\n"
    )

    assert [str(component) for component in parse_go_mod(go_mod)] == [
        "github.com/a/b v1.0.0",
        "k8s.io/api v0.34.4",
        "gopkg.in/yaml.v3 v3.0.1",
    ]


def test_jars_and_crates_have_names_and_versions() -> None:
    assert list(parse_jars(f"{'b' * 64}  kafka_2.13-4.3.1.jar\n")) == [
        Component(MAVEN, "kafka_2.13", "4.3.1", ("b" * 64,))
    ]
    assert list(parse_cargo_lock('[[package]]\nname = "a"\nversion = "1.0.0"\n')) == [
        Component(CRATES, "a", "1.0.0")
    ]


@pytest.mark.parametrize(
    ("older", "newer"),
    [("1.9", "1.10"), ("2.0rc1", "2.0"), ("v1.2.3", "1.2.4"), ("1.0", "1.0.1"), ("4.1.0-beta", "4.1.0")],
)
def test_versions_are_ordered_by_numbers(older: str, newer: str) -> None:
    assert version_key(older) < version_key(newer)


def test_trailing_zeros_and_build_metadata_do_not_count() -> None:
    assert version_key("1.0.0") == version_key("v1.0+local") == version_key("1")


@pytest.mark.parametrize(
    ("version", "expected"), [("1.0", True), ("1.5", False), ("2.1", True), ("2.3", True), ("2.4", False)]
)
def test_ranges_decide_unless_the_version_is_listed(version: str, expected: bool) -> None:  # noqa: FBT001 - a case
    events = [{"introduced": "0"}, {"fixed": "1.5"}, {"introduced": "2.1"}, {"last_affected": "2.3"}]
    affected = {
        "ranges": [{"type": "SEMVER", "events": events}, {"type": "GIT", "events": [{"introduced": "0"}]}]
    }

    assert is_affected(version, affected) is expected
    assert is_affected(version, {"versions": [f"v{version}"]})


def test_vulnerability_is_reported_once_with_its_fix(tmp_path: Path) -> None:
    twin = ADVISORY | {"id": "GHSA-1", "modified": "2026-02-01T00:00:00Z"}
    withdrawn = ADVISORY | {"id": "PYSEC-2", "aliases": [], "withdrawn": "2026-01-01T00:00:00Z"}

    database = check_advisories(archive(tmp_path, ADVISORY, twin, withdrawn), [FLASK])

    (vulnerability,) = database.vulnerabilities
    assert (vulnerability.component, vulnerability.id, vulnerability.fixed) == (
        "flask 2.0.1",
        "PYSEC-1",
        ("2.0.2",),
    )
    assert (database.advisories, database.modified) == (3, "2026-02-01T00:00:00Z")
    assert database.ecosystems == ("PyPI",)


def test_fixed_version_and_other_ecosystem_are_not_affected(tmp_path: Path) -> None:
    components = [Component(PYPI, "flask", "2.0.2"), Component(GO, "flask", "2.0.1")]

    assert check_advisories(archive(tmp_path, ADVISORY), components).vulnerabilities == ()


def test_folder_of_yaml_and_unknown_maven_group_are_read(tmp_path: Path) -> None:
    (tmp_path / "vulns").mkdir()
    (tmp_path / "vulns/x.yaml").write_text(
        "id: X-1\naffected: [{package: {ecosystem: Maven, name: 'org.a:lib'}, versions: ['1.0']}]\n"
    )

    database = check_advisories(
        tmp_path, [Component(MAVEN, "lib", "1.0"), Component(MAVEN, "org.a:lib", "1.1")]
    )

    assert [item.component for item in database.vulnerabilities] == ["lib 1.0"]


@pytest.mark.parametrize("content", [b"no archive", b""])
def test_unreadable_database_is_a_usage_error(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "all.zip"
    path.write_bytes(content)

    with pytest.raises(UsageError, match="cannot be read"):
        check_advisories(path, [FLASK])


def test_database_without_advisories_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no advisories"):
        check_advisories(tmp_path, [FLASK])


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("MIT", True),
        ("GPL", False),
        ("GPL OR MIT", True),
        ("MIT AND GPL", False),
        ("MIT/GPL", True),
        ("(MIT OR Apache-2.0) AND GPL", False),
        ("GPL AND (Apache-2.0 OR MIT)", False),
        ("GPL OR (MIT AND AGPL)", False),
        ("(GPL OR MIT) AND (MIT OR ISC)", True),
        ("MIT WITH exception", False),
        ("MIT WITH exception OR MIT", True),
        ("", False),
    ],
)
def test_licence_expressions(expression: str, expected: bool) -> None:  # noqa: FBT001 - a case
    assert is_allowed(expression, {"MIT"}) is expected


def test_licence_texts_are_told_apart() -> None:
    project = Path(__file__).resolve().parents[3]

    assert classify((project / "LICENSE").read_text()) == "Apache-2.0"
    assert classify("Mozilla Public License ... GNU General Public License") == "MPL-2.0"
    assert classify("All rights reserved") == "unrecognised"


def test_licence_that_is_not_allowed_needs_an_exception() -> None:
    policy = load_policy()
    licences = {
        Component(PYPI, "psycopg2-binary", "1"): "LGPL",
        Component(PYPI, "other", "1"): "GPL",
        Component(PYPI, "unknown", "1"): None,
    }

    findings = check_licences(licences, policy)

    assert findings.violations == ["other 1 has the licence GPL"]
    assert [text.partition(":")[0] for text in findings.accepted] == [
        "psycopg2-binary 1 has the licence LGPL"
    ]


def test_versions_for_several_pythons_are_no_duplicates() -> None:
    policy = load_policy().model_copy(update={"duplicates": {}})
    toolkit = Part(
        "toolkit", (Component(PYPI, "a", "1"), Component(PYPI, "a", "2"), Component(PYPI, "b", "1"))
    )
    image = Part("image", (Component(PYPI, "a", "2"), Component(PYPI, "b", "3")))

    assert check_duplicates([toolkit, image], policy).violations == ["b has the versions 1, 3"]


def test_exception_that_is_not_needed_is_reported() -> None:
    findings = Findings()

    findings.require_use("imports", {"needed": "Reason.", "gone*": "Reason."}, ["needed"])

    assert findings.violations == ["the exception imports.gone* is not needed: remove it from policy.yaml"]
