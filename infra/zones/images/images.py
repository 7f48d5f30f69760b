"""Build images with buildah and push them to a registry, both only if needed."""

from __future__ import annotations

import hashlib
import shutil
import ssl
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import httpx

from infra.subprocesses import run
from infra.zones.images.contexts import FOLDER, BuildContext, build_contexts

if TYPE_CHECKING:
    from infra.progress import ProgressReporter, ProgressStep
    from infra.zones.control_plane import Tools

_BUILD_TIMEOUT_SECONDS = 900.0
_PUSH_TIMEOUT_SECONDS = 300.0
_MANIFESTS = (
    "application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json"
)
_KEY_LENGTH = 16
_COMPRESSION = "zstd"
"""Three nodes decompress every image on the same cores; gzip takes three times as long."""


class Images:
    """The images of the platform.

    Args:
        cache: the user's cache folder.
        tools: the toolchain with Garage's binary and Kafka's jars.
    """

    def __init__(self, cache: Path, tools: Tools) -> None:
        self._cache = cache / "images"
        self._tools = tools

    def push(self, *, registry: str, ca: Path, steps: ProgressReporter) -> dict[str, str]:
        """Build and push missing images.

        Args:
            registry: `host:port`, accessed over TLS.
            ca: certificate authority of the registry.
            steps: progress reporter.

        Returns:
            References with digests by image name.

        Raises:
            CommandFailedError: a build or a push fails; the error contains its output.
        """
        references: dict[str, str] = {}
        keys: dict[str | None, str] = {None: ""}
        with (
            steps.step("images") as step,
            httpx.Client(verify=ssl.create_default_context(cafile=str(ca)), timeout=10.0) as client,
        ):
            pushed = 0
            for context in build_contexts(self._tools):
                key = _key(context, keys[context.parent])
                keys[context.image] = key
                digest = self._digest(key)
                if digest is None or not _registry_has(client, registry, context.image, digest):
                    pushed += 1
                    digest = self._build_and_push(context, keys, registry, ca, step)
                references[context.image] = f"{registry}/esq/{context.image}@{digest}"
            step.set_result(f"{pushed} of {len(references)} new" if pushed else "unchanged")
        return references

    def _build_and_push(
        self, context: BuildContext, keys: dict[str | None, str], registry: str, ca: Path, step: ProgressStep
    ) -> str:
        key = keys[context.image]
        if not self._buildah(
            "images", "--quiet", "--filter", f"reference={_local_tag(context.image, key)}"
        ).strip():
            step.set_status(f"building {context.image}")
            self._build(context, keys)
        step.set_status(f"pushing {context.image}")
        with tempfile.TemporaryDirectory() as cert_dir:
            (Path(cert_dir) / "ca.crt").write_bytes(ca.read_bytes())
            digest_file = Path(cert_dir) / "digest"
            self._buildah(
                *("push", "--quiet", f"--cert-dir={cert_dir}", f"--digestfile={digest_file}"),
                f"--compression-format={_COMPRESSION}",
                *(_local_tag(context.image, key), f"docker://{registry}/esq/{context.image}:{key}"),
            )
            digest = digest_file.read_text().strip()
        self._digest_file(key).write_text(digest)
        return digest

    def _build(self, context: BuildContext, keys: dict[str | None, str]) -> None:
        parent = (
            [] if context.parent is None else [f"--from={_local_tag(context.parent, keys[context.parent])}"]
        )
        self._cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self._cache) as folder:
            context.populate(Path(folder))
            # The package sources of the host, mounted for the build only; a copy, since packages write there.
            shutil.copytree("/etc/apt", Path(folder) / "apt")
            self._buildah(
                *("build", "--quiet", "--isolation=chroot", "--network=host", "--layers=false", *parent),
                *(f"--volume={folder}/apt:/etc/apt", f"--file={FOLDER / context.image / 'Containerfile'}"),
                *(f"--tag={_local_tag(context.image, keys[context.image])}", folder),
            )

    def _buildah(self, *args: str) -> str:
        store = self._cache / "store"
        return run(
            [
                "buildah",
                f"--root={store}",
                f"--runroot={self._cache / 'run'}",
                "--storage-driver=overlay",
                *args,
            ],
            timeout=_BUILD_TIMEOUT_SECONDS if args[0] == "build" else _PUSH_TIMEOUT_SECONDS,
        )

    def _digest(self, key: str) -> str | None:
        path = self._digest_file(key)
        return path.read_text() if path.exists() else None

    def _digest_file(self, key: str) -> Path:
        """Return the file that records the digest of an image; the digest depends on the compression."""
        return self._cache / f"{key}.{_COMPRESSION}.digest"


def _registry_has(client: httpx.Client, registry: str, image: str, digest: str) -> bool:
    url = f"https://{registry}/v2/esq/{image}/manifests/{digest}"
    return client.head(url, headers={"Accept": _MANIFESTS}).is_success


def _key(context: BuildContext, parent: str) -> str:
    containerfile = (FOLDER / context.image / "Containerfile").read_text()
    return hashlib.sha256(f"{containerfile}\0{context.key}\0{parent}".encode()).hexdigest()[:_KEY_LENGTH]


def _local_tag(image: str, key: str) -> str:
    return f"localhost/esq/{image}:{key}"
