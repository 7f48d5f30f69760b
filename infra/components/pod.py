"""Short ways to say the parts of a pod: environment, files, probes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pulumi_kubernetes.core import v1 as core

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def env(name: str, value: str) -> core.EnvVarArgs:
    """Return a variable with a plain value; `$(OTHER)` stands for a variable that came before it."""
    return core.EnvVarArgs(name=name, value=value)


def env_secret(name: str, secret: str, key: str) -> core.EnvVarArgs:
    """Return a variable whose value is `key` of `secret`."""
    reference = core.SecretKeySelectorArgs(name=secret, key=key)
    return core.EnvVarArgs(name=name, value_from=core.EnvVarSourceArgs(secret_key_ref=reference))


def env_field(name: str, path: str) -> core.EnvVarArgs:
    """Return a variable whose value is a field of the pod itself, e.g. `metadata.name`."""
    field = core.ObjectFieldSelectorArgs(field_path=path)
    return core.EnvVarArgs(name=name, value_from=core.EnvVarSourceArgs(field_ref=field))


def mount(name: str, path: str, *, read_only: bool = False) -> core.VolumeMountArgs:
    """Return the mount of the volume `name` at `path`."""
    return core.VolumeMountArgs(name=name, mount_path=path, read_only=read_only or None)


def scratch(name: str, *, memory: bool = False, limit: str = "64Mi") -> core.VolumeArgs:
    """Return an empty volume; in memory it counts against the pod's limit, and never touches a disk."""
    medium = "Memory" if memory else None
    return core.VolumeArgs(
        name=name, empty_dir=core.EmptyDirVolumeSourceArgs(medium=medium, size_limit=limit)
    )


def config_files(
    name: str,
    config_map: str,
    mode: int = 0o444,
    *,
    optional: bool = False,
    paths: Mapping[str, str] | None = None,
) -> core.VolumeArgs:
    """Return a volume with a file per key of `config_map`.

    Args:
        name: of the volume.
        config_map: its source.
        mode: of the files.
        optional: an empty folder will do.
        paths: where the files stand, by key; all of them under their keys when None.
    """
    source = core.ConfigMapVolumeSourceArgs(
        name=config_map, default_mode=mode, optional=optional or None, items=_items(paths)
    )
    return core.VolumeArgs(name=name, config_map=source)


def secret_files(
    name: str, secret: str, mode: int = 0o440, *, paths: Mapping[str, str] | None = None
) -> core.VolumeArgs:
    """Return a volume with a file per key of `secret`, for the pod's group; `paths` as in `config_files`."""
    source = core.SecretVolumeSourceArgs(secret_name=secret, default_mode=mode, items=_items(paths))
    return core.VolumeArgs(name=name, secret=source)


def _items(paths: Mapping[str, str] | None) -> list[core.KeyToPathArgs] | None:
    return [core.KeyToPathArgs(key=key, path=path) for key, path in sorted((paths or {}).items())] or None


def ask_https(path: str, port: int, *, period: int, failures: int, timeout: int = 3) -> core.ProbeArgs:
    """Return a probe that wants 2xx from `https://POD:port/path` (the kubelet checks no certificate)."""
    request = core.HTTPGetActionArgs(path=path, port=port, scheme="HTTPS")
    return core.ProbeArgs(
        http_get=request, period_seconds=period, failure_threshold=failures, timeout_seconds=timeout
    )


def ask_http(path: str, port: int, *, period: int, failures: int, timeout: int = 3) -> core.ProbeArgs:
    """Return a probe that wants 2xx or 3xx from `http://POD:port/path`."""
    request = core.HTTPGetActionArgs(path=path, port=port)
    return core.ProbeArgs(
        http_get=request, period_seconds=period, failure_threshold=failures, timeout_seconds=timeout
    )


def ask_port(port: int, *, period: int, failures: int) -> core.ProbeArgs:
    """Return a probe that wants the process to accept a connection."""
    return core.ProbeArgs(
        tcp_socket=core.TCPSocketActionArgs(port=port), period_seconds=period, failure_threshold=failures
    )


def ask_program(argv: Sequence[str], *, period: int, failures: int, timeout: int) -> core.ProbeArgs:
    """Return a probe that wants `argv` to end with 0 inside the container.

    Each time costs the node 100 to 200 ms of a core, whatever `argv` does: rather ask a `prober`.
    """
    return core.ProbeArgs(
        exec_=core.ExecActionArgs(command=list(argv)),
        period_seconds=period,
        failure_threshold=failures,
        timeout_seconds=timeout,
    )
