"""Images are built when their content changed, and pushed when missing; buildah here is a script."""

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
    """Programs in a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def path(self, name: str) -> Path:
        return self._folder / name


class _Registry(http.server.BaseHTTPRequestHandler):
    has = False

    def do_HEAD(self) -> None:
        self.send_response(200 if type(self).has else 404)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
        """Say nothing."""


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    authority = create_ca()
    pair = issue_certificate(authority, "registry", ("localhost",))
    (tmp_path / "pair.pem").write_text(pair.certificate + pair.key)
    (tmp_path / "ca.crt").write_text(authority.certificate)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "pair.pem")
    _Registry.has = False
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Registry) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{server.server_address[1]}", tmp_path / "ca.crt"
        server.shutdown()


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Images:
    (tmp_path / "kafka").mkdir()
    (tmp_path / "kafka" / "one-1.0.jar").touch()
    (tmp_path / "garage").touch()
    script = tmp_path / "bin" / "buildah"
    script.parent.mkdir()
    script.write_text(f"#!/bin/sh\n{BUILDAH}")
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{script.parent}:/usr/bin:/bin")
    monkeypatch.setenv("LOG", str(tmp_path / "log"))
    # What goes into an image is fetched by other tools; here only its key counts.
    real = contexts.build_contexts
    monkeypatch.setattr(
        images,
        "build_contexts",
        lambda tools: [
            contexts.BuildContext(each.image, each.key, lambda _: None, each.parent) for each in real(tools)
        ],
    )
    return Images(tmp_path / "cache", PathTools(tmp_path))


def lines(tmp_path: Path, what: str) -> list[str]:
    return (tmp_path / f"log.{what}").read_text().splitlines()


def test_every_image_is_built_and_pushed_and_known_by_digest(
    made: Images, registry: tuple[str, Path], tmp_path: Path
) -> None:
    address, ca = registry
    references = made.push(registry=address, ca=ca, steps=RecordingProgress())
    assert set(references) == {"base", "postgres", "redis", "kafka", "garage", "services"}
    assert references["kafka"] == f"{address}/esq/kafka@sha256:{1:064d}"
    assert len(lines(tmp_path, "built")) == len(lines(tmp_path, "pushed")) == 6


def test_what_the_registry_has_is_left_alone(
    made: Images, registry: tuple[str, Path], tmp_path: Path
) -> None:
    address, ca = registry
    made.push(registry=address, ca=ca, steps=RecordingProgress())
    _Registry.has = True
    steps = RecordingProgress()
    made.push(registry=address, ca=ca, steps=steps)
    assert len(lines(tmp_path, "built")) == len(lines(tmp_path, "pushed")) == 6
    assert steps.steps[0].results == ["unchanged"]


def test_a_new_registry_is_filled_without_building_again(
    made: Images, registry: tuple[str, Path], tmp_path: Path
) -> None:
    address, ca = registry
    for _ in range(2):
        made.push(registry=address, ca=ca, steps=RecordingProgress())
    assert len(lines(tmp_path, "built")) == 6
    assert len(lines(tmp_path, "pushed")) == 12


def test_a_new_jar_builds_kafka_again_and_nothing_else(
    made: Images, registry: tuple[str, Path], tmp_path: Path
) -> None:
    address, ca = registry
    made.push(registry=address, ca=ca, steps=RecordingProgress())
    _Registry.has = True
    (tmp_path / "kafka" / "two-1.0.jar").touch()
    made.push(registry=address, ca=ca, steps=RecordingProgress())
    assert len(lines(tmp_path, "built")) == 7
    assert lines(tmp_path, "pushed")[-1].startswith(f"{address}/esq/kafka:")


def test_every_image_has_a_recipe_and_runs_as_nobody_special() -> None:
    for context in contexts.build_contexts(PathTools(Path("/nowhere"))):
        recipe = (contexts.FOLDER / context.image / "Containerfile").read_text()
        users = [line.split()[1] for line in recipe.splitlines() if line.startswith("USER ")]
        assert not users or users[-1] in ("999", "1000"), context.image
        assert "FROM scratch" in recipe if context.parent is None else "FROM base" in recipe
