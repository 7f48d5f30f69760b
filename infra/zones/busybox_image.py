"""The busybox image, assembled without a build tool because it is needed before the registry runs.

It is the pause container of every pod and the helper pod that creates volume folders.
"""

from __future__ import annotations

import hashlib
import io
import json
import platform
import tarfile
from pathlib import Path

from infra.zones.control_plane import BUSYBOX_IMAGE

BUSYBOX = Path("/bin/busybox")
"""Statically linked, from Debian's busybox-static."""
_HELPER_APPLETS = ("sh", "mkdir", "rm", "tail", "chmod")
_SHELL_APPLETS = ("cat", "cut", "grep", "kill", "sed", "sleep", "sort", "test")
"""Programs that every image with a shell has; faults in pods use them (`chaos/faults/node_pods.py`)."""
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
"""Names of container images by those of the kernel."""
_SLEEP_FOREVER = ["/bin/tail", "-f", "/dev/null"]


def archive(busybox: Path = BUSYBOX) -> bytes:
    """Return the image in `docker save` format; deterministic for the same busybox."""
    layer = _layer(busybox.read_bytes())
    config = {
        "architecture": _ARCHITECTURES.get(platform.machine(), platform.machine()),
        "os": "linux",
        "config": {"Cmd": _SLEEP_FOREVER, "Env": ["PATH=/bin"]},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(layer).hexdigest()}"]},
    }
    manifest = [{"Config": "config.json", "RepoTags": [BUSYBOX_IMAGE], "Layers": ["layer.tar"]}]
    return _tar(
        {
            "config.json": json.dumps(config).encode(),
            "layer.tar": layer,
            "manifest.json": json.dumps(manifest).encode(),
        }
    )


def _layer(busybox: bytes) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        _add(tar, "bin/busybox", busybox, 0o755)
        for applet in (*_HELPER_APPLETS, *_SHELL_APPLETS):
            link = tarfile.TarInfo(f"bin/{applet}")
            link.type, link.linkname = tarfile.SYMTYPE, "busybox"
            tar.addfile(link)
    return buffer.getvalue()


def _tar(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, content in files.items():
            _add(tar, name, content, 0o644)
    return buffer.getvalue()


def _add(tar: tarfile.TarFile, name: str, content: bytes, mode: int) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(content), mode
    tar.addfile(entry, io.BytesIO(content))
