"""Tools come from PATH if the version matches, else they are built once; compilers are shell scripts here."""

from __future__ import annotations

import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from infra.errors import EsqError, ProblemsError
from infra.progress import RecordingProgress
from infra.zones.toolchain import Toolchain, builds
from infra.zones.toolchain.tools import TOOLS, TOOLS_BY_NAME

if TYPE_CHECKING:
    from collections.abc import Callable

PROJECT = Path(__file__).parents[3]

GO = """
if [ "$1" = version ]; then echo "go version go1.26.8 linux/amd64"; exit; fi
echo building >> "$COUNT"
while [ "$1" != -o ]; do shift; done
printf '#!/bin/sh\\necho built\\n' > "$2"; chmod 755 "$2"
"""

PLUGIN = """
import sys, grpc
from concurrent.futures import ThreadPoolExecutor
answer = bytes([10, len(sys.argv[1])]) + sys.argv[1].encode()
call = grpc.unary_unary_rpc_method_handler(lambda request, context: answer)
server = grpc.server(ThreadPoolExecutor(1))
methods = {'GetPluginInfo': call}
server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler('pulumirpc.ResourceProvider', methods)])
print(server.add_insecure_port('127.0.0.1:0'), flush=True)
server.start()
server.wait_for_termination()
"""


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], Path]:
    """Adds a shell script to an otherwise empty PATH."""
    folder = tmp_path / "path"
    folder.mkdir()
    for name in ("sh", "sleep", "chmod", "cat"):
        (folder / name).symlink_to(f"/bin/{name}")
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setenv("COUNT", str(tmp_path / "count"))

    def put(name: str, body: str) -> Path:
        path = folder / name
        path.write_text(f"#!/bin/sh\n{body}\n")
        path.chmod(0o755)
        return path

    return put


@pytest.fixture
def tools(tmp_path: Path) -> Toolchain:
    return Toolchain(tmp_path / "cache", RecordingProgress())


def origin_of(tools: Toolchain, name: str) -> str:
    return next(status.origin for status in tools.list() if status.name == name)


def test_matching_version_on_path_is_used(program: Callable[[str, str], Path], tools: Toolchain) -> None:
    etcd = program("etcd", "echo etcd Version: 3.6.8")
    assert tools.path("etcd") == etcd
    assert origin_of(tools, "etcd") == "path"


def test_other_version_on_path_is_not_used(program: Callable[[str, str], Path], tools: Toolchain) -> None:
    program("etcd", "echo etcd Version: 3.6.80")
    assert origin_of(tools, "etcd") == "missing"
    with pytest.raises(EsqError, match="no program etcd"):
        tools.path("etcd")


def test_missing_tool_is_built_once(
    program: Callable[[str, str], Path], tools: Toolchain, tmp_path: Path
) -> None:
    program("go", GO)
    for _ in range(2):
        tools.ensure(["etcd"])
    assert (tmp_path / "count").read_text().splitlines() == ["building"]
    assert (
        subprocess.run([tools.path("etcd")], capture_output=True, text=True, check=True).stdout == "built\n"
    )


def test_compilers_do_not_run_in_the_working_directory(
    program: Callable[[str, str], Path], tools: Toolchain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There, files such as `go.mod` or `rust-toolchain.toml` could name other programs."""
    monkeypatch.chdir(tmp_path)
    record_folder = f'echo "$(pwd)" >> {tmp_path}/folders\n'
    program("go", record_folder + GO)
    cargo = 'if [ "$1" = --version ]; then echo cargo 1.95.0; exit; fi; exit 1'
    program("cargo", record_folder + cargo)
    tools.ensure(["etcd"])
    with pytest.raises(EsqError, match="cargo"):
        tools.ensure(["garage"])
    folders = set((tmp_path / "folders").read_text().splitlines())
    assert str(tmp_path) not in folders
    assert all(Path(folder).is_relative_to(PROJECT / "infra/zones/toolchain") for folder in folders)


PLUGIN_BUILD = """
case "$1" in
version) echo "go version go1.26.8 linux/amd64"; exit ;;
list) echo /modules/provider; exit ;;
mod) exit ;;
esac
while [ $# -gt 0 ]; do
  if [ "$1" = -overlay ]; then cat "$2" > "$COUNT"; fi
  if [ "$1" = -o ]; then printf '#!/bin/sh\\n' > "$2"; chmod 755 "$2"; fi
  shift
done
"""


def test_embedded_files_of_a_module_are_mapped_by_an_overlay(
    program: Callable[[str, str], Path], tools: Toolchain, tmp_path: Path
) -> None:
    program("go", PLUGIN_BUILD)
    tools.ensure(["pulumi-kubernetes"])
    replace = json.loads((tmp_path / "count").read_text())["Replace"]
    pins = PROJECT / "infra/zones/toolchain/go/pulumi-kubernetes"
    command = "/modules/provider/cmd/pulumi-resource-kubernetes"
    assert replace == {
        str(pins / name): f"{command}/{name}" for name in ("schema.json", "terraform-mapping.json")
    }
    folder = tools.path("pulumi-resource-kubernetes").parents[1]
    assert [file.name for file in folder.rglob("*") if file.is_file()] == ["pulumi-resource-kubernetes"]


def test_provider_has_the_version_of_its_python_package() -> None:
    locked = (PROJECT / "locks" / "esq.txt").read_text().splitlines()
    assert f"pulumi-kubernetes=={TOOLS_BY_NAME['pulumi-kubernetes'].version} \\" in locked


@pytest.mark.parametrize(("version", "origin"), [("4.34.2", "path"), ("4.34.1", "missing")])
def test_plugin_on_path_is_used_if_its_version_matches(
    program: Callable[[str, str], Path], tools: Toolchain, version: str, origin: str
) -> None:
    program("pulumi-resource-kubernetes", f'exec {sys.executable} -c "{PLUGIN}" {version}')
    assert origin_of(tools, "pulumi-kubernetes") == origin


def test_concurrent_runs_build_once(program: Callable[[str, str], Path], tmp_path: Path) -> None:
    program("go", GO.replace("echo building", "sleep 0.3; echo building"))
    runs = [Toolchain(tmp_path / "cache", RecordingProgress()) for _ in range(2)]
    threads = [threading.Thread(target=run.ensure, args=(["etcd"],)) for run in runs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert (tmp_path / "count").read_text().splitlines() == ["building"]


def test_kubernetes_is_one_multi_call_binary(program: Callable[[str, str], Path], tools: Toolchain) -> None:
    program("go", GO)
    tools.ensure(["kubernetes"])
    assert {tools.path(name).resolve() for name in ("kubelet", "kubectl", "kube-apiserver")} == {
        tools.path("kubelet").parent / "kubernetes"
    }


def test_failed_build_leaves_nothing_and_reports_its_log(
    program: Callable[[str, str], Path], tools: Toolchain, tmp_path: Path
) -> None:
    program(
        "go", 'if [ "$1" = version ]; then echo go version go1.26.8 x; exit; fi; echo no such module; exit 1'
    )
    with pytest.raises(EsqError) as caught:
        tools.ensure(["etcd"])
    assert "no such module" in caught.value.detail
    assert [path.name for path in (tmp_path / "cache").iterdir()] == ["logs"]


@pytest.mark.parametrize("signal_number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_build_leaves_nothing(
    program: Callable[[str, str], Path], tmp_path: Path, signal_number: signal.Signals
) -> None:
    program(
        "go", 'if [ "$1" = version ]; then echo go version go1.26.8 x; exit; fi; echo $$ > "$COUNT"; sleep 60'
    )
    code = (
        "import signal, sys; from pathlib import Path; from infra.progress import RecordingProgress;"
        "from infra.zones.toolchain import Toolchain;"
        "[signal.signal(s, signal.default_int_handler) for s in (signal.SIGINT, signal.SIGTERM)];"
        "Toolchain(Path(sys.argv[1]), RecordingProgress()).ensure(['etcd'])"
    )
    building = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path / "cache")],
        env={**os.environ, "PYTHONPATH": str(PROJECT)},
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 30
    while not (tmp_path / "count").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    compiler = int((tmp_path / "count").read_text())
    building.send_signal(signal_number)
    assert building.wait(30) != 0
    assert not Path(f"/proc/{compiler}").exists()
    assert [path.name for path in (tmp_path / "cache").iterdir()] == ["logs"]


def test_failure_cancels_builds_of_other_compilers(
    program: Callable[[str, str], Path], tools: Toolchain, tmp_path: Path
) -> None:
    program(
        "go", 'if [ "$1" = version ]; then echo go version go1.26.8 x; exit; fi; echo $$ > "$COUNT"; sleep 60'
    )
    program(
        "cargo",
        'if [ "$1" = --version ]; then echo cargo 1.95.0; exit; fi; '
        'until [ -s "$COUNT" ]; do sleep 0.05; done; echo no such crate; exit 1',
    )
    with pytest.raises(EsqError) as caught:
        tools.ensure(["etcd", "garage"])
    assert "no such crate" in caught.value.detail
    assert not Path(f"/proc/{int((tmp_path / 'count').read_text())}").exists()
    assert [path.name for path in (tmp_path / "cache").iterdir()] == ["logs"]


def test_all_missing_compilers_are_reported_together(
    program: Callable[[str, str], Path], tools: Toolchain
) -> None:
    program("cargo", "echo cargo 1.63.0")
    with pytest.raises(ProblemsError) as caught:
        tools.ensure(["garage", "kafka"])
    assert [problem.location for problem in caught.value.problems] == ["garage", "kafka"]


def test_jars_that_differ_from_the_pins_are_rejected(tmp_path: Path) -> None:
    (tmp_path / "good.jar").write_text("good")
    (tmp_path / "bad.jar").write_text("tampered with")
    (tmp_path / "more.jar").write_text("unexpected")
    sums = "\n".join(
        f"{hashlib.sha256(name.encode()).hexdigest()}  {name}.jar" for name in ("good", "bad", "gone")
    )
    with pytest.raises(EsqError, match=r"bad\.jar, gone\.jar, more\.jar"):
        builds.verify_checksums(tmp_path, sums)
    for name in ("bad.jar", "more.jar"):
        (tmp_path / name).unlink()
    builds.verify_checksums(tmp_path, sums.splitlines()[0])


def test_tool_keys_are_unique_and_contain_the_version() -> None:
    keys = [tool.key for tool in TOOLS]
    assert len(set(keys)) == len(keys)
    assert TOOLS_BY_NAME["etcd"].key.startswith("etcd-3.6.8-")


def test_provisioner_uses_the_compiled_packages_of_kubernetes() -> None:
    """A package is compiled once if it and all that it imports have the same versions in both."""

    def versions(tool: str) -> dict[str, str]:
        text = (PROJECT / "infra/zones/toolchain/go" / tool / "go.mod").read_text().partition("replace (")[0]
        return dict(re.findall(r"^\s+(\S+) (v\S+)", text, re.MULTILINE))

    kubernetes, provisioner = versions("kubernetes"), versions("local-path-provisioner")
    assert provisioner["k8s.io/client-go"] == kubernetes["k8s.io/client-go"]
    different = {
        name for name in provisioner.keys() & kubernetes.keys() if provisioner[name] != kubernetes[name]
    }
    assert different == set()


GO_FOR_TOOLS = """
if [ "$1" = version ]; then echo "go version go1.26.8 linux/amd64"; exit; fi
for last; do :; done
[ "$last" = tool ] || exit 1
while [ "$1" != -o ]; do shift; done
for name in victoria-logs vlagent; do printf '#!/bin/sh\\n' > "$2$name"; chmod 755 "$2$name"; done
"""


def test_several_programs_of_a_module_are_built_together(
    program: Callable[[str, str], Path], tools: Toolchain
) -> None:
    program("go", GO_FOR_TOOLS)
    tools.ensure(["victoria-logs"])
    assert tools.path("vlagent").is_file()
    assert tools.path("victoria-logs").parent == tools.path("vlagent").parent


@pytest.mark.parametrize(
    "name",
    [
        *("coredns", "local-path-provisioner", "etcd", "pulumi", "kubernetes"),
        *("victoria-metrics", "victoria-logs"),
    ],
)
def test_reported_version_is_the_pinned_one(name: str) -> None:
    tool = TOOLS_BY_NAME[name]
    pins = (PROJECT / "infra/zones/toolchain/go" / name / "go.mod").read_text()
    assert f" v{tool.version}" in pins
