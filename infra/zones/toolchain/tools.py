"""The table of tools: name, version and build of each."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

PINS_FOLDER = Path(__file__).parent
KUBERNETES = "1.34.4"
_KUBERNETES_NAMES = (
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "kubelet",
    "kube-proxy",
    "kubectl",
)
_VERSION = "k8s.io/component-base/version"
_KUBERNETES_FLAGS = " ".join(
    f"-X {_VERSION}.{name}={value}"
    for name, value in {
        "gitVersion": f"v{KUBERNETES}",
        "gitMajor": "1",
        "gitMinor": "34",
        "gitTreeState": "clean",
        "gitCommit": f"v{KUBERNETES}",
        "buildDate": "1970-01-01T00:00:00Z",
    }.items()
)
ALL_TOOLS = "tool"
"""Go's name for all packages that a `go.mod` lists as tools."""
_BUILD_INFO = "github.com/VictoriaMetrics/VictoriaMetrics/lib/buildinfo"
VICTORIA_METRICS, VICTORIA_LOGS = "1.151.0", "1.52.1"
"""The newest that Go 1.26 compiles."""
_PROVIDER = "github.com/pulumi/pulumi-kubernetes/provider/v4"
_PROVIDER_VERSION = "4.34.2"
"""That of the Python package in `locks/esq.txt`: the SDK requires its own version of the provider."""
_PROVIDER_COMMAND = "cmd/pulumi-resource-kubernetes"


@dataclass(frozen=True)
class Tool:
    """A tool of the platform.

    Attributes:
        name: name of the tool and of its pins below this folder.
        version: required version.
        kind: build system.
        programs: names of its programs; several are one multi-call binary, except with `ALL_TOOLS`.
        package: Go package to build, or Rust crate to install; `.` for the pins' own main package,
            `ALL_TOOLS` for a binary of each `tool` line of the pins.
        flags: linker flags, e.g. the version that the program reports; for a crate, options of the build.
        version_args: arguments that print the version; without any, a program on PATH is never used.
        plugin: whether the program is a Pulumi plugin, which reports its version over gRPC.
        embeds: a Go module and paths of its files that the pins' main package embeds; empty for none.
    """

    name: str
    version: str
    kind: Literal["go", "cargo", "maven"]
    programs: tuple[str, ...]
    package: str = "."
    flags: str = ""
    version_args: tuple[str, ...] = ()
    plugin: bool = False
    embeds: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """Name of its folder in the cache; depends on the version, the pins and the flags."""
        pins = PINS_FOLDER / self.kind / self.name if self.kind == "go" else PINS_FOLDER / self.name
        files = sorted(path for path in pins.rglob("*") if path.is_file()) if pins.is_dir() else []
        content = [self.kind, self.version, self.package, self.flags, *self.programs, *self.embeds]
        digest = hashlib.sha256("\0".join(content).encode())
        for path in files:
            digest.update(path.name.encode() + b"\0" + path.read_bytes())
        return f"{self.name}-{self.version}-{digest.hexdigest()[:12]}"


TOOLS = (
    Tool(
        "kubernetes",
        KUBERNETES,
        "go",
        _KUBERNETES_NAMES,
        flags=_KUBERNETES_FLAGS,
        version_args=("--version",),
    ),
    Tool("etcd", "3.6.8", "go", ("etcd",), "go.etcd.io/etcd/server/v3", version_args=("--version",)),
    Tool(
        *("pulumi", "3.259.0", "go", ("pulumi",), "github.com/pulumi/pulumi/pkg/v3/cmd/pulumi"),
        flags="-X github.com/pulumi/pulumi/sdk/v3/go/common/version.Version=v3.259.0",
        version_args=("version",),
    ),
    Tool(
        *("pulumi-kubernetes", _PROVIDER_VERSION, "go", ("pulumi-resource-kubernetes",)),
        flags=f"-X {_PROVIDER}/pkg/version.Version={_PROVIDER_VERSION}",
        plugin=True,
        embeds=(_PROVIDER, f"{_PROVIDER_COMMAND}/schema.json", f"{_PROVIDER_COMMAND}/terraform-mapping.json"),
    ),
    Tool("coredns", "1.15.0", "go", ("coredns",), version_args=("-version",)),
    Tool(
        *("local-path-provisioner", "0.0.30", "go", ("local-path-provisioner",)),
        package="github.com/rancher/local-path-provisioner",
    ),
    Tool(
        *("victoria-metrics", VICTORIA_METRICS, "go"),
        ("victoria-metrics", "vmalert", "vmalert-tool", "vmauth"),
        ALL_TOOLS,
        flags=f"-X {_BUILD_INFO}.Version=v{VICTORIA_METRICS}",
        version_args=("--version",),
    ),
    Tool(
        *("victoria-logs", VICTORIA_LOGS, "go", ("victoria-logs", "vlagent"), ALL_TOOLS),
        flags=f"-X {_BUILD_INFO}.Version=v{VICTORIA_LOGS}",
        version_args=("--version",),
    ),
    Tool(
        *("garage", "2.5.0", "cargo", ("garage",), "garage"),
        # SQLite and K2V are not used; link-time optimisation takes minutes of the build.
        flags='--no-default-features --features=bundled-libs,lmdb,metrics --config=profile.release.lto="off"',
        version_args=("--version",),
    ),
    Tool("kafka", "4.3.1", "maven", ("kafka",)),
)
"""In build order: the tools of the cluster first; the provisioner uses packages compiled for Kubernetes."""

TOOLS_BY_PROGRAM = {program: tool for tool in TOOLS for program in tool.programs}
TOOLS_BY_NAME = {tool.name: tool for tool in TOOLS}
