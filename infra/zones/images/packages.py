"""Debian packages that building images needs, and a program of each that tells whether it is there."""

PACKAGES: dict[str, str] = {
    "mmdebstrap": "/usr/bin/mmdebstrap",
    "buildah": "/usr/bin/buildah",
    "debian-archive-keyring": "/usr/share/keyrings/debian-archive-keyring.gpg",
}
