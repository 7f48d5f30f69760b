"""Images are built when their content changes and pushed when missing; buildah is a shell script here."""

from __future__ import annotations

import http.server
import ssl
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from infra.certificate_authority import create_ca, issue_certificate
from infra.progress import RecordingProgress
from infra.zones.images import Images, contexts, images

if TYPE_CHECKING:
    from collections.abc import Iterator

BUILDAH = """
for word; do case $word in
  build) verb=build;; push) verb=push;; images) verb=images;;
  --tag=*) tag=${word#--tag=};; --digestfile=*) file=${word#--digestfile=};;
  --filter) ;; reference=*) tag=${word#reference=};; docker://*) target=${word#docker://};;
esac; done
case $verb in
  build) echo "$tag" >> "$LOG.built";;
  images) grep -qx "$tag" "$LOG.built" 2>/dev/null && echo found || true;;
  push) echo "$target" >> "$LOG.pushed"; printf 'sha256:%064d' 1 > "$file";;
esac
"""


class PathTools:
    """Paths of programs in a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def path(self, name: str) -> Path:
        return self._folder / name


class _Registry(http.server.BaseHTTPRequestHandler):
    has_images = False

    def do_HEAD(self) -> None:
        self.send_response(200 if type(self).has_images else 404)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
        """Log nothing."""


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    authority = create_ca()
    pair = issue_certificate(authority, "registry", ("localhost",))
    (tmp_path / "pair.pem").write_text(pair.certificate + pair.key)
    (tmp_path / "ca.crt").write_text(authority.certificate)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "pair.pem")
    _Registry.has_images = False
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Registry) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{server.server_address[1]}", tmp_path / "ca.crt"
        server.shutdown()


@pytest.fixture
def built_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Images:
    (tmp_path / "kafka").mkdir()
    (tmp_path / "kafka" / "one-1.0.jar").touch()
    (tmp_path / "garage").touch()
    script = tmp_path / "bin" / "buildah"
    script.parent.mkdir()
    script.write_text(f"#!/bin/sh\n{BUILDAH}")
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{script.parent}:/usr/bin:/bin")
    monkeypatch.setenv("LOG", str(tmp_path / "log"))
    # The content of images is fetched by other tools; only the keys matter here.
    original = contexts.build_contexts
    monkeypatch.setattr(
        images,
        "build_contexts",
        lambda tools: [
            contexts.BuildContext(context.image, context.key, lambda _: None, context.parent)
            for context in original(tools)
        ],
    )
    return Images(tmp_path / "cache", PathTools(tmp_path))


def log_lines(tmp_path: Path, action: str) -> list[str]:
    return (tmp_path / f"log.{action}").read_text().splitlines()


def test_every_image_is_built_and_pushed(
    built_images: Images, registry: tuple[str, Path], tmp_path: Path
) -> None:
    address, ca = registry
    references = built_images.push(registry=address, ca=ca, steps=RecordingProgress())
    assert set(references) == {"base", "postgres", "redis", "kafka", "garage", "services"}
    assert references["kafka"] == f"{address}/esq/kafka@sha256:{1:064d}"
    assert len(log_lines(tmp_path, "built")) == len(log_lines(tmp_path, "pushed")) == 6


def test_images_in_the_registry_are_not_pushed_again(
    built_images: Images, registry: tuple[str, Path], tmp_path: Path
) -> None:
    address, ca = registry
    built_images.push(registry=address, ca=ca, steps=RecordingProgress())
    _Registry.has_images = True
    steps = RecordingProgress()
    built_images.push(registry=address, ca=ca, steps=steps)
    assert len(log_lines(tmp_path, "built")) == len(log_lines(tmp_path, "pushed")) == 6
    assert steps.steps[0].results == ["unchanged"]


def test_empty_registry_is_filled_without_a_build(
    built_images: Images, registry: tuple[str, Path], tmp_path: Path
) -> None:
    address, ca = registry
    for _ in range(2):
        built_images.push(registry=address, ca=ca, steps=RecordingProgress())
    assert len(log_lines(tmp_path, "built")) == 6
    assert len(log_lines(tmp_path, "pushed")) == 12


def test_new_jar_rebuilds_only_kafka(
    built_images: Images, registry: tuple[str, Path], tmp_path: Path
) -> None:
    address, ca = registry
    built_images.push(registry=address, ca=ca, steps=RecordingProgress())
    _Registry.has_images = True
    (tmp_path / "kafka" / "two-1.0.jar").touch()
    built_images.push(registry=address, ca=ca, steps=RecordingProgress())
    assert len(log_lines(tmp_path, "built")) == 7
    assert log_lines(tmp_path, "pushed")[-1].startswith(f"{address}/esq/kafka:")


def test_every_image_has_a_containerfile_and_an_unprivileged_user() -> None:
    for context in contexts.build_contexts(PathTools(Path("/nowhere"))):
        recipe = (contexts.FOLDER / context.image / "Containerfile").read_text()
        users = [line.split()[1] for line in recipe.splitlines() if line.startswith("USER ")]
        assert not users or users[-1] in ("999", "1000"), context.image
        assert "FROM scratch" in recipe if context.parent is None else "FROM base" in recipe
