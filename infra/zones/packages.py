"""Debian packages that a cluster and its images need, with one program of each to check for."""

from __future__ import annotations

from pathlib import Path

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
    return [package for package, program in PACKAGES.items() if not Path(program).exists()]
