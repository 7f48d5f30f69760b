"""Tools come from PATH when they fit, else are built once, whole or not at all; compilers are scripts."""

from __future__ import annotations

import hashlib
import json
import os
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

Program = "Callable[[str, str], Path]"
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
    """Puts a shell script on an otherwise bare PATH."""
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


def fetched(tools: Toolchain, name: str) -> str:
    return next(each.origin for each in tools.list() if each.name == name)


def test_a_program_of_the_right_version_on_path_is_used(
    program: Callable[[str, str], Path], tools: Toolchain
) -> None:
    found = program("etcd", "echo etcd Version: 3.6.8")
    assert tools.path("etcd") == found
    assert fetched(tools, "etcd") == "path"


def test_a_program_of_another_version_on_path_is_not(
    program: Callable[[str, str], Path], tools: Toolchain
) -> None:
    program("etcd", "echo etcd Version: 3.6.80")
    assert fetched(tools, "etcd") == "missing"
    with pytest.raises(EsqError, match="no program etcd"):
        tools.path("etcd")


def test_a_missing_tool_is_built_once(
    program: Callable[[str, str], Path], tools: Toolchain, tmp_path: Path
) -> None:
    program("go", GO)
    for _ in range(2):
        tools.ensure(["etcd"])
    assert (tmp_path / "count").read_text().splitlines() == ["building"]
    assert (
        subprocess.run([tools.path("etcd")], capture_output=True, text=True, check=True).stdout == "built\n"
    )


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


def test_files_of_a_module_are_mapped_into_the_folder_that_embeds_them(
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


@pytest.mark.parametrize(("version", "origin"), [("4.34.2", "path"), ("4.34.1", "missing")])
def test_plugin_on_path_is_asked_for_its_version(
    program: Callable[[str, str], Path], tools: Toolchain, version: str, origin: str
) -> None:
    program("pulumi-resource-kubernetes", f'exec {sys.executable} -c "{PLUGIN}" {version}')
    assert fetched(tools, "pulumi-kubernetes") == origin


def test_two_runs_at_once_build_once(program: Callable[[str, str], Path], tmp_path: Path) -> None:
    program("go", GO.replace("echo building", "sleep 0.3; echo building"))
    runs = [Toolchain(tmp_path / "cache", RecordingProgress()) for _ in range(2)]
    threads = [threading.Thread(target=each.ensure, args=(["etcd"],)) for each in runs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert (tmp_path / "count").read_text().splitlines() == ["building"]


def test_one_binary_bears_all_names_of_kubernetes(
    program: Callable[[str, str], Path], tools: Toolchain
) -> None:
    program("go", GO)
    tools.ensure(["kubernetes"])
    assert {tools.path(name).resolve() for name in ("kubelet", "kubectl", "kube-apiserver")} == {
        tools.path("kubelet").parent / "kubernetes"
    }


def test_a_failed_build_leaves_nothing_and_shows_its_log(
    program: Callable[[str, str], Path], tools: Toolchain, tmp_path: Path
) -> None:
    program(
        "go", 'if [ "$1" = version ]; then echo go version go1.26.8 x; exit; fi; echo no such module; exit 1'
    )
    with pytest.raises(EsqError) as caught:
        tools.ensure(["etcd"])
    assert "no such module" in caught.value.detail
    assert [path.name for path in (tmp_path / "cache").iterdir()] == ["logs"]


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_build_leaves_nothing_half_done(
    program: Callable[[str, str], Path], tmp_path: Path, how: signal.Signals
) -> None:
    program(
        "go", 'if [ "$1" = version ]; then echo go version go1.26.8 x; exit; fi; echo $$ > "$COUNT"; sleep 60'
    )
    code = (
        "import signal, sys; from pathlib import Path; from infra.progress import RecordingProgress;"
        "from infra.zones.toolchain import Toolchain;"
        "[signal.signal(each, signal.default_int_handler) for each in (signal.SIGINT, signal.SIGTERM)];"
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
    building.send_signal(how)
    assert building.wait(30) != 0
    assert not Path(f"/proc/{compiler}").exists()
    assert [path.name for path in (tmp_path / "cache").iterdir()] == ["logs"]


def test_all_missing_compilers_are_told_at_once(
    program: Callable[[str, str], Path], tools: Toolchain
) -> None:
    program("cargo", "echo cargo 1.63.0")
    with pytest.raises(ProblemsError) as caught:
        tools.ensure(["garage", "kafka"])
    assert [problem.location for problem in caught.value.problems] == ["garage", "kafka"]


def test_a_jar_that_is_not_the_pinned_one_is_refused(tmp_path: Path) -> None:
    (tmp_path / "good.jar").write_text("good")
    (tmp_path / "bad.jar").write_text("tampered with")
    (tmp_path / "more.jar").write_text("nobody asked for it")
    sums = "\n".join(
        f"{hashlib.sha256(word.encode()).hexdigest()}  {word}.jar" for word in ("good", "bad", "gone")
    )
    with pytest.raises(EsqError, match=r"bad\.jar, gone\.jar, more\.jar"):
        builds.verify_checksums(tmp_path, sums)
    for name in ("bad.jar", "more.jar"):
        (tmp_path / name).unlink()
    builds.verify_checksums(tmp_path, sums.splitlines()[0])


def test_the_key_of_a_tool_changes_with_its_pins() -> None:
    keys = [tool.key for tool in TOOLS]
    assert len(set(keys)) == len(keys)
    assert TOOLS_BY_NAME["etcd"].key.startswith("etcd-3.6.8-")


@pytest.mark.parametrize("name", ["coredns", "local-path-provisioner", "etcd", "pulumi", "kubernetes"])
def test_the_version_that_is_told_is_the_one_that_is_pinned(name: str) -> None:
    tool = TOOLS_BY_NAME[name]
    pins = (PROJECT / "infra/zones/toolchain/go" / name / "go.mod").read_text()
    assert f" v{tool.version}" in pins
