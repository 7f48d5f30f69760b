"""Images are built when their content or packages change; buildah and apt are shell scripts here."""

from __future__ import annotations

import http.server
import ssl
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from infra.certificate_authority import Usage, create_ca, issue_certificate
from infra.errors import EsqError
from infra.progress import RecordingProgress
from infra.subprocesses import CommandFailedError, run
from infra.zones import packages
from infra.zones.images import Images, contexts, images
from infra.zones.images.package_versions import MAX_AGE_SECONDS
from infra.zones.images.prune import prune, registry_tags
from infra.zones.registry import RegistryAccess
from loadtests.scenarios import SCENARIOS

if TYPE_CHECKING:
    from collections.abc import Iterator

BUILDAH = """
for word; do case $word in
  build|push|images|rmi) verb=$word;;
  --tag=*) tag=${word#--tag=};; --digestfile=*) file=${word#--digestfile=};;
  docker://*) target=${word#docker://};; localhost/*) echo "$word" >> "$LOG.words";;
esac; done
case $verb in
  build) echo "$tag" >> "$LOG.built";;
  images) names=$(sed 's/.*/{"names":["&"]},/' "$LOG.built" 2>/dev/null); echo "[$names{\\"names\\":null}]";;
  rmi) for tag; do case $tag in localhost/*) sed -i "\\|^$tag$|d" "$LOG.built";; esac; done;;
  push) echo "$target" >> "$LOG.pushed"; printf 'sha256:%064d' 1 > "$file";;
esac
"""
PLATFORM = ("postgres", "redis", "kafka", "garage", "services")
"""Images of a deploy without the observability layer."""
APT = """
case "$*" in *--simulate*) echo "Reading package lists..."; cat "$LOG.versions";; esac
"""
VERSIONS = (
    "Inst libc6 (2.36-9 Debian:12.12/stable [amd64])\nInst python3 (3.11.2-1 Debian:12.12/stable [amd64])\n"
)


class PathTools:
    """Paths of programs in a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def path(self, name: str) -> Path:
        path = self._folder / name
        if not path.exists():
            raise EsqError(f"no program {name}")
        return path


class _Registry(http.server.BaseHTTPRequestHandler):
    has_images = False

    def do_HEAD(self) -> None:
        self.send_response(200 if type(self).has_images else 404)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
        """Log nothing."""


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[RegistryAccess]:
    authority = create_ca()
    pair = issue_certificate(authority, "registry", ("localhost",))
    (tmp_path / "pair.pem").write_text(pair.certificate + pair.key)
    client = issue_certificate(authority, "pusher", (), Usage.CLIENT)
    (tmp_path / "client.crt").write_text(client.certificate)
    (tmp_path / "client.key").write_text(client.key)
    (tmp_path / "ca.crt").write_text(authority.certificate)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "pair.pem")
    _Registry.has_images = False
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Registry) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"127.0.0.1:{server.server_address[1]}"
        yield RegistryAccess(address, tmp_path / "ca.crt", tmp_path / "client.crt", tmp_path / "client.key")
        server.shutdown()


@pytest.fixture
def built_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Images:
    (tmp_path / "kafka").mkdir()
    (tmp_path / "kafka" / "one-1.0.jar").touch()
    (tmp_path / "garage").touch()
    (tmp_path / "log.versions").write_text(VERSIONS)
    (tmp_path / "bin").mkdir()
    for name, body in {"buildah": BUILDAH, "apt-get": APT}.items():
        script = tmp_path / "bin" / name
        script.write_text(f"#!/bin/sh\n{body}")
        script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    monkeypatch.setattr(images, "sources_file", lambda: tmp_path / "debian.sources")
    monkeypatch.setattr(images, "copy_apt_settings", lambda folder: folder.mkdir())
    monkeypatch.setenv("LOG", str(tmp_path / "log"))
    # The content of images is fetched by other tools; only the keys matter here.
    original = contexts.build_contexts
    monkeypatch.setattr(
        images,
        "build_contexts",
        lambda tools, package_versions: [
            contexts.BuildContext(context.image, context.key, lambda _: None, context.parent)
            for context in original(tools, package_versions)
        ],
    )
    return Images(tmp_path / "cache", PathTools(tmp_path))


def log_lines(tmp_path: Path, action: str) -> list[str]:
    return (tmp_path / f"log.{action}").read_text().splitlines()


def test_every_image_is_built_and_pushed(
    built_images: Images, registry: RegistryAccess, tmp_path: Path
) -> None:
    references = built_images.push(registry, RecordingProgress(), PLATFORM)
    assert set(references) == {"base", "postgres", "redis", "kafka", "garage", "services"}
    assert references["kafka"] == f"{registry.address}/esq/kafka@sha256:{1:064d}"
    assert len(log_lines(tmp_path, "built")) == len(log_lines(tmp_path, "pushed")) == 6


def test_image_of_the_load_generators_is_pushed_only_for_a_load_test(
    built_images: Images, registry: RegistryAccess
) -> None:
    references = built_images.push(registry, RecordingProgress(), ("loadtests",))
    assert set(references) == {"base", "loadtests"}
    assert "loadtests" in contexts.image_names()


def test_image_of_the_load_generators_holds_all_that_its_locustfiles_import(tmp_path: Path) -> None:
    contexts.copy_load_generators(tmp_path)
    program = "import importlib, sys; [importlib.import_module(f'loadtests.{name}') for name in sys.argv[1:]]"
    names = [scenario.name.replace("-", "_") for scenario in SCENARIOS]
    run([sys.executable, "-P", "-c", program, *names], cwd=tmp_path, env={"PYTHONPATH": str(tmp_path)})
    assert not list(tmp_path.rglob("*.proto"))


def test_image_of_the_observability_layer_needs_its_programs_and_a_deploy_of_the_layer(
    built_images: Images, registry: RegistryAccess, tmp_path: Path
) -> None:
    assert "observability" not in {version.image for version in built_images.versions()}
    for name in contexts.OBSERVABILITY_PROGRAMS:
        (tmp_path / name).write_text("program")
    built_images.push(registry, RecordingProgress(), ("services",))
    assert len(log_lines(tmp_path, "built")) == 2, "with its parent"
    references = built_images.push(registry, RecordingProgress(), ("observability",))
    assert set(references) == {"base", "observability"}


def test_images_in_the_registry_are_not_pushed_again(
    built_images: Images, registry: RegistryAccess, tmp_path: Path
) -> None:
    built_images.push(registry, RecordingProgress(), PLATFORM)
    _Registry.has_images = True
    steps = RecordingProgress()
    built_images.push(registry, steps, PLATFORM)
    assert len(log_lines(tmp_path, "built")) == len(log_lines(tmp_path, "pushed")) == 6
    assert steps.steps[0].results == ["unchanged"]


def test_empty_registry_is_filled_without_a_build(
    built_images: Images, registry: RegistryAccess, tmp_path: Path
) -> None:
    for _ in range(2):
        built_images.push(registry, RecordingProgress(), PLATFORM)
    assert len(log_lines(tmp_path, "built")) == 6
    assert len(log_lines(tmp_path, "pushed")) == 12


def test_new_jar_rebuilds_only_kafka(built_images: Images, registry: RegistryAccess, tmp_path: Path) -> None:
    built_images.push(registry, RecordingProgress(), PLATFORM)
    _Registry.has_images = True
    (tmp_path / "kafka" / "two-1.0.jar").touch()
    built_images.push(registry, RecordingProgress(), PLATFORM)
    assert len(log_lines(tmp_path, "built")) == 7
    assert log_lines(tmp_path, "pushed")[-1].startswith(f"{registry.address}/esq/kafka:")


def test_every_image_has_a_containerfile_and_an_unprivileged_user(tmp_path: Path) -> None:
    (tmp_path / "kafka").mkdir()
    for name in ("garage", *contexts.OBSERVABILITY_PROGRAMS):
        (tmp_path / name).touch()
    built = contexts.build_contexts(PathTools(tmp_path), "")
    assert {context.image for context in built} == set(contexts.image_names())
    for context in built:
        recipe = (contexts.FOLDER / context.image / "Containerfile").read_text()
        users = [line.split()[1] for line in recipe.splitlines() if line.startswith("USER ")]
        assert not users or users[-1] in ("999", "1000"), context.image
        assert "FROM scratch" in recipe if context.parent is None else "FROM base" in recipe


def test_image_of_alertmanager_can_verify_the_receivers_of_pages(tmp_path: Path) -> None:
    (tmp_path / "kafka").mkdir()
    for name in ("garage", *contexts.OBSERVABILITY_PROGRAMS):
        (tmp_path / name).touch()
    built = contexts.build_contexts(PathTools(tmp_path), "")
    context = next(context for context in built if context.image == "observability")
    (tmp_path / "context").mkdir()
    context.populate(tmp_path / "context")
    (copied,) = (
        line.split()[1:]
        for line in (contexts.FOLDER / "observability" / "Containerfile").read_text().splitlines()
        if line.startswith("COPY") and line.endswith("/etc/ssl/certs")
    )
    # The first file of those that Go looks for.
    authorities = tmp_path / "context" / copied[0] / "ca-certificates.crt"
    assert len(ssl.create_default_context(cafile=str(authorities)).get_ca_certs()) > 50


def test_security_update_rebuilds_all_images(
    built_images: Images, registry: RegistryAccess, tmp_path: Path
) -> None:
    built_images.push(registry, RecordingProgress(), PLATFORM)
    (tmp_path / "log.versions").write_text(VERSIONS.replace("2.36-9", "2.36-9+deb12u1"))
    assert built_images.build(RecordingProgress()), "`esq images build` notices updates at once"
    assert len(log_lines(tmp_path, "built")) == 6 + 7
    assert built_images.build(RecordingProgress()) == []


def test_deploy_uses_package_versions_of_the_last_days(
    built_images: Images, registry: RegistryAccess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    built_images.push(registry, RecordingProgress(), PLATFORM)
    (tmp_path / "log.versions").write_text(VERSIONS.replace("2.36-9", "2.36-9+deb12u1"))
    keys = [version.key for version in built_images.versions()]
    assert [version.key for version in built_images.versions()] == keys
    now = time.time()
    monkeypatch.setattr("time.time", lambda: now + MAX_AGE_SECONDS + 1)
    assert [version.key for version in built_images.versions()] != keys


def test_deploy_without_package_mirror_uses_the_recorded_versions(
    built_images: Images, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = [version.key for version in built_images.versions()]
    (tmp_path / "bin" / "apt-get").write_text("#!/bin/sh\nexit 100\n")
    now = time.time()
    monkeypatch.setattr("time.time", lambda: now + MAX_AGE_SECONDS + 1)
    assert [version.key for version in built_images.versions()] == keys
    with pytest.raises(CommandFailedError):
        built_images.build(RecordingProgress())


def test_changed_garage_of_the_same_path_is_a_new_image(built_images: Images, tmp_path: Path) -> None:
    keys = {version.image: version.key for version in built_images.versions()}
    (tmp_path / "garage").write_text("another build")
    changed = {version.image: version.key for version in built_images.versions()}
    assert {image for image in keys if keys[image] != changed[image]} == {"garage"}


def test_packages_of_all_images_are_resolved() -> None:
    assert {"python3", "postgresql-15", "redis-server", "haproxy", "openjdk-17-jre-headless"} <= set(
        contexts.debian_packages()
    )


def test_builds_use_package_sources_of_debian_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    host = tmp_path / "etc"
    (host / "sources.list.d").mkdir(parents=True)
    (host / "apt.conf.d").mkdir()
    (host / "apt.conf.d" / "proxy").touch()
    (host / "sources.list").write_text("# none\n")
    (host / "sources.list.d" / "other.list").write_text("deb http://example.test bookworm main\n")
    monkeypatch.setattr(contexts, "APT_SETTINGS", host)
    monkeypatch.setattr(
        packages, "SOURCES", (host / "sources.list.d" / "debian.sources", host / "sources.list")
    )
    with pytest.raises(EsqError, match="no package sources of Debian bookworm"):
        contexts.copy_apt_settings(tmp_path / "none")
    (host / "sources.list").write_text("deb http://deb.debian.org/debian bookworm main\n")
    contexts.copy_apt_settings(tmp_path / "copy")
    files = {
        str(path.relative_to(tmp_path / "copy")) for path in (tmp_path / "copy").rglob("*") if path.is_file()
    }
    assert files == {"apt.conf.d/proxy", "sources.list"}


def test_outdated_versions_are_removed_and_used_ones_kept(built_images: Images, tmp_path: Path) -> None:
    built_images.build(RecordingProgress())
    outdated = {version.image: version for version in built_images.versions()}["garage"]
    storage = tmp_path / "storage"
    (tmp_path / "garage").write_text("another build")
    built_images.build(RecordingProgress())
    current = {version.image: version for version in built_images.versions()}["garage"]
    repository = storage / "docker/registry/v2/repositories/esq/garage/_manifests/tags"
    digests = {
        outdated.key: "sha256:" + "1" * 64,
        "other": "sha256:" + "2" * 64,
        current.key: "sha256:" + "3" * 64,
    }
    for key, digest in digests.items():
        (repository / key / "current").mkdir(parents=True)
        (repository / key / "current" / "link").write_text(digest)
    (tmp_path / "bin" / "docker-registry").write_text('#!/bin/sh\necho "$*" > "$LOG.collected"\n')
    (tmp_path / "bin" / "docker-registry").chmod(0o755)
    used = {digests["other"]}
    expected = [f"garage:{outdated.key}", f"registry/garage:{outdated.key}"]
    assert prune(built_images, storage, used, preview=True) == expected
    assert sorted(path.name for path in repository.iterdir()) == sorted(digests)
    assert prune(built_images, storage, used) == expected
    assert sorted(path.name for path in repository.iterdir()) == sorted(["other", current.key])
    assert log_lines(tmp_path, "collected")[0].startswith("garbage-collect --delete-untagged ")
    assert built_images.is_built(current)
    assert not built_images.is_built(outdated)
    assert prune(built_images, storage, used) == []


def test_used_digest_whose_tag_has_moved_is_tagged_before_the_collection(
    built_images: Images, tmp_path: Path
) -> None:
    storage, used, moved = tmp_path / "storage", "1" * 64, "2" * 64
    manifests = storage / "docker/registry/v2/repositories/esq/garage/_manifests"
    current = {version.image: version.key for version in built_images.versions()}["garage"]
    for digest in (used, moved):
        (manifests / "revisions/sha256" / digest).mkdir(parents=True)
    (manifests / "tags" / current / "current").mkdir(parents=True)
    (manifests / "tags" / current / "current" / "link").write_text(f"sha256:{moved}")
    (tmp_path / "bin" / "docker-registry").write_text("#!/bin/sh\n")
    (tmp_path / "bin" / "docker-registry").chmod(0o755)
    assert prune(built_images, storage, {f"sha256:{used}"}) == []
    tags = {tag.key: tag.digest for tag in registry_tags(storage)}
    assert tags == {current: f"sha256:{moved}", f"used-{used[:16]}": f"sha256:{used}"}
    assert prune(built_images, storage, set()) == [f"registry/garage:used-{used[:16]}"]
    assert [tag.key for tag in registry_tags(storage)] == [current]


def test_version_whose_digest_is_used_is_kept_in_the_store(built_images: Images, tmp_path: Path) -> None:
    built_images.build(RecordingProgress())
    outdated = {version.image: version for version in built_images.versions()}["garage"]
    (tmp_path / "garage").write_text("another build")
    built_images.build(RecordingProgress())
    built_images.digest_file(outdated.key).write_text("sha256:1")
    tag = tmp_path / f"storage/docker/registry/v2/repositories/esq/garage/_manifests/tags/{outdated.key}"
    (tag / "current").mkdir(parents=True)
    (tag / "current" / "link").write_text("sha256:1")
    (tmp_path / "bin" / "docker-registry").write_text("#!/bin/sh\n")
    (tmp_path / "bin" / "docker-registry").chmod(0o755)
    assert prune(built_images, tmp_path / "storage", {"sha256:1"}) == []
    assert built_images.is_built(outdated)
    assert built_images.digest(outdated) == "sha256:1"
