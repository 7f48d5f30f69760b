"""Debian packages that a cluster and its images need, with one program of each to check for."""

from __future__ import annotations

from pathlib import Path

SUITE = "bookworm"
"""The release of Debian that images contain."""
SOURCES = (Path("/etc/apt/sources.list.d/debian.sources"), Path("/etc/apt/sources.list"))
"""Files with package sources of Debian: of cloud and container images, and of the classic installer."""
PACKAGES: dict[str, str] = {
    "containerd": "/usr/bin/containerd",
    "runc": "/usr/sbin/runc",
    "containernetworking-plugins": "/usr/lib/cni/bridge",
    "docker-registry": "/usr/bin/docker-registry",
    "haproxy": "/usr/sbin/haproxy",
    "iproute2": "/usr/sbin/ip",
    "iptables": "/usr/sbin/iptables",
    "nftables": "/usr/sbin/nft",
    "conntrack": "/usr/sbin/conntrack",
    "busybox-static": "/bin/busybox",
    "util-linux": "/usr/bin/nsenter",
    "mount": "/sbin/losetup",
    "e2fsprogs": "/sbin/mkfs.ext4",
    "ethtool": "/usr/sbin/ethtool",
    "procps": "/usr/sbin/sysctl",
    "mmdebstrap": "/usr/bin/mmdebstrap",
    "debian-archive-keyring": "/usr/share/keyrings/debian-archive-keyring.gpg",
    "buildah": "/usr/bin/buildah",
    "maven": "/usr/bin/mvn",
    "openjdk-17-jre-headless": "/usr/bin/java",
}


def missing() -> list[str]:
    """Return the packages whose program is missing."""
    return [package for package, program in PACKAGES.items() if not _is_installed(program)]


def _is_installed(program: str) -> bool:
    """Return whether a program exists; Docker's packages have it in `bin`, e.g. runc."""
    return Path(program).exists() or Path(program.replace("/sbin/", "/bin/")).exists()


def sources_file() -> Path | None:
    """Return the file with the host's sources of the suite, so that its mirror is used; None without one."""
    return next((path for path in SOURCES if path.exists() and _names_suite(path.read_text())), None)


def _names_suite(text: str) -> bool:
    return any(SUITE in line.split() for line in text.splitlines() if not line.lstrip().startswith("#"))
