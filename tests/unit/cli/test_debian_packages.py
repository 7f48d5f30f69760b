"""Installation of Debian packages: nothing is removed, and no service starts; apt is real, with its own state."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from cli.actions import debian_packages
from infra.errors import ProblemsError
from infra.progress import RecordingProgress

if TYPE_CHECKING:
    from pathlib import Path

AVAILABLE = """\
Package: runtime
Version: 1
Architecture: all
Filename: ./runtime.deb
Size: 1
SHA256: {digest}
"""
INSTALLED = """\
Package: engine.io
Status: install ok installed
Version: 1
Architecture: all
Maintainer: nobody
Description: conflicts with the runtime, as Docker's containerd.io does with runc
Conflicts: runtime
"""


@pytest.fixture
def apt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An apt with one installed package, and another that conflicts with it; return the status file."""
    if shutil.which("apt-get") is None:
        pytest.skip("no apt-get on this machine")
    for folder in ("repository", "lists/partial", "cache/archives/partial", "parts"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "repository" / "Packages").write_text(AVAILABLE.format(digest="0" * 64))
    (tmp_path / "sources.list").write_text(f"deb [trusted=yes] file:{tmp_path}/repository ./\n")
    status = tmp_path / "status"
    status.write_text(INSTALLED)
    settings = {
        "Dir::State::status": status,
        "Dir::State::lists": tmp_path / "lists",
        "Dir::Cache": tmp_path / "cache",
        "Dir::Etc::sourcelist": tmp_path / "sources.list",
        "Dir::Etc::sourceparts": tmp_path / "parts",
        "APT::Sandbox::User": "root",
    }
    (tmp_path / "apt.conf").write_text("".join(f'{name} "{value}";\n' for name, value in settings.items()))
    monkeypatch.setenv("APT_CONFIG", str(tmp_path / "apt.conf"))
    monkeypatch.setattr(debian_packages, "can_install", lambda: True)
    monkeypatch.setattr(debian_packages, "POLICY_FILE", tmp_path / "policy-rc.d")
    return status


def test_conflicting_packages_are_named_and_nothing_is_installed(apt: Path) -> None:
    with pytest.raises(ProblemsError) as caught:
        debian_packages.install(["runtime"], RecordingProgress())
    (problem,) = caught.value.problems
    assert problem.message == "the installation of runtime would remove engine.io"
    assert "apt-get remove engine.io" in problem.remedy
    assert apt.read_text() == INSTALLED


@pytest.mark.usefixtures("apt")
def test_installable_packages_have_no_conflict(tmp_path: Path) -> None:
    (tmp_path / "status").write_text("")
    subprocess.run(["apt-get", "update", "-q"], check=True, timeout=60, capture_output=True)
    assert debian_packages.conflict_problem(["runtime"]) is None


def test_services_are_denied_to_installations_of_esq_only(tmp_path: Path) -> None:
    policy = tmp_path / "policy-rc.d"

    def exit_code(**environment: str) -> int:
        return subprocess.run([policy], env=environment, timeout=10, check=False).returncode

    with debian_packages._services_not_started(policy):
        assert exit_code(ESQ_INSTALLS_PACKAGES="1") == 101
        assert exit_code() == 0, "what a killed esq leaves must not affect other installations"
    assert not policy.exists()


def test_left_policy_is_removed_and_a_foreign_one_kept(tmp_path: Path) -> None:
    policy = tmp_path / "policy-rc.d"
    policy.write_text(debian_packages._POLICY)
    with debian_packages._services_not_started(policy):
        assert policy.exists()
    assert not policy.exists()
    policy.write_text("#!/bin/sh\nexit 104\n")
    with debian_packages._services_not_started(policy):
        pass
    assert policy.read_text() == "#!/bin/sh\nexit 104\n"
