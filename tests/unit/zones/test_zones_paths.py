"""Configuration files express a state path with spaces and accents; other characters are rejected."""

from __future__ import annotations

import json
import shlex
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from supervisor.options import ServerOptions

from infra.zones import disks, edge, nodes, preflight, registry, supervisord
from infra.zones.paths import ClusterPaths

if TYPE_CHECKING:
    from infra.zones.control_plane import Tools
    from infra.zones.spec import ClusterSpec


@pytest.fixture
def paths(tmp_path: Path, spec: ClusterSpec) -> ClusterPaths:
    paths = ClusterPaths(tmp_path / "größe und ort", spec.name)
    paths.create(spec.zones)
    return paths


def test_scripts_of_a_node_quote_paths(spec: ClusterSpec, paths: ClusterPaths) -> None:
    start = nodes.start_script(spec, paths, "zone-a").replace("\\\n", " ").splitlines()
    assert shlex.split(start[-1])[-1] == str(paths.config / "zone-a" / "init.sh")
    lines = nodes.init_script(spec, paths, "zone-a").splitlines()
    binds = [shlex.split(line) for line in lines if line.startswith("mount --bind")]
    assert binds
    assert all(len(arguments) == 4 and arguments[2].startswith(str(paths.root)) for arguments in binds)
    assert shlex.split(lines[-1])[-1] == str(paths.config / "zone-a" / "supervisor.conf")
    mount = next(line for line in lines if line.startswith("mount -o loop"))
    assert shlex.split(mount)[3] == str(disks.disk_file(paths, "zone-a"))


def test_kubelet_imports_the_pause_image_from_a_quoted_path(
    spec: ClusterSpec, paths: ClusterPaths, tools: Tools
) -> None:
    kubelet = next(
        program for program in nodes.node_programs(spec, paths, tools, "zone-a") if program.name == "kubelet"
    )
    script = next(argument for argument in kubelet.argv if "import" in argument)
    assert str(paths.config / "busybox.tar") in [word.strip(";") for word in shlex.split(script)]


def test_containerd_reads_the_paths(spec: ClusterSpec, paths: ClusterPaths, tools: Tools) -> None:
    config = tomllib.loads(nodes.containerd_toml(paths, "zone-a"))
    assert config["plugins"]["io.containerd.grpc.v1.cri"]["registry"]["config_path"] == str(
        paths.config / "zone-a" / "registries"
    )
    nodes.node_program(spec, paths, tools, "zone-a")
    hosts = tomllib.loads((paths.config / "zone-a" / "registries" / spec.registry / "hosts.toml").read_text())
    assert hosts["host"][f"https://{spec.registry}"] == {
        "ca": str(paths.pki / "ca.crt"),
        "client": [[str(paths.pki / "zone-a.crt"), str(paths.pki / "zone-a.key")]],
    }


def test_haproxy_paths_are_quoted(spec: ClusterSpec, paths: ClusterPaths) -> None:
    for text in (edge.render(spec, paths), registry.frontend(spec, paths)):
        lines = [line for line in text.splitlines() if str(paths.root) in line]
        assert lines
        assert all(line.count(f'"{paths.root}') == line.count(str(paths.root)) for line in lines)
    assert f'"{paths.pki}/dns.kubeconfig"' in nodes.corefile(spec, paths, "zone-a")


def test_supervisor_reads_the_paths(paths: ClusterPaths) -> None:
    program = supervisord.Program("web", ["serve", str(paths.config / "web file")], paths.log("web"))
    config = paths.config / "supervisor.conf"
    config.write_text(
        supervisord.render(
            [program], socket=paths.socket, pidfile=paths.pidfile, log=paths.log("supervisor")
        ),
        encoding="utf-8",
    )
    options = ServerOptions()
    options.realize(["-c", str(config)])
    (group,) = options.configroot.supervisord.process_group_configs
    (process,) = group.process_configs
    assert shlex.split(process.command) == program.argv
    assert process.stdout_logfile == str(program.log)
    assert options.logfile == str(paths.log("supervisor"))


@pytest.mark.parametrize("character", ['"', "'", "$", ";", ":", "%"])
def test_path_that_configuration_files_cannot_express_is_a_problem(
    tmp_path: Path, spec: ClusterSpec, character: str
) -> None:
    paths = ClusterPaths(tmp_path / f"a{character}b", spec.name)
    (problem,) = preflight._paths(paths)
    assert character in problem.message
    assert "XDG_STATE_HOME" in problem.remedy


def test_spaces_and_accents_are_no_problem(paths: ClusterPaths) -> None:
    assert list(preflight._paths(paths)) == []


def test_registry_configuration_is_valid(paths: ClusterPaths) -> None:
    storage = paths.root / "storage"
    assert json.loads(registry.render(paths, storage))["storage"]["filesystem"]["rootdirectory"] == str(
        storage
    )
