"""Builders for parts of a pod spec: environment, volumes, probes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pulumi_kubernetes.core import v1 as core

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def env(name: str, value: str) -> core.EnvVarArgs:
    """Return a variable with a plain value.

    Args:
        name: name of the variable.
        value: its value; `$(OTHER)` is replaced by an earlier variable.
    """
    return core.EnvVarArgs(name=name, value=value)


def env_secret(name: str, secret: str, key: str) -> core.EnvVarArgs:
    """Return a variable whose value comes from a Secret.

    Args:
        name: name of the variable.
        secret: name of the Secret.
        key: key in the Secret.
    """
    reference = core.SecretKeySelectorArgs(name=secret, key=key)
    return core.EnvVarArgs(name=name, value_from=core.EnvVarSourceArgs(secret_key_ref=reference))


def env_field(name: str, path: str) -> core.EnvVarArgs:
    """Return a variable whose value is a field of the pod itself.

    Args:
        name: name of the variable.
        path: path of the field, e.g. `metadata.name`.
    """
    field = core.ObjectFieldSelectorArgs(field_path=path)
    return core.EnvVarArgs(name=name, value_from=core.EnvVarSourceArgs(field_ref=field))


def mount(name: str, path: str, *, read_only: bool = False) -> core.VolumeMountArgs:
    """Return the mount of a volume.

    Args:
        name: name of the volume.
        path: mount path.
        read_only: whether the mount is read-only.
    """
    return core.VolumeMountArgs(name=name, mount_path=path, read_only=read_only or None)


def empty_dir(name: str, *, in_memory: bool = False, size_limit: str = "64Mi") -> core.VolumeArgs:
    """Return an empty volume.

    Args:
        name: name of the volume.
        in_memory: whether it is in memory: it counts against the pod's memory limit and is never on a disk.
        size_limit: maximum size.
    """
    medium = "Memory" if in_memory else None
    return core.VolumeArgs(
        name=name, empty_dir=core.EmptyDirVolumeSourceArgs(medium=medium, size_limit=size_limit)
    )


def config_files(
    name: str,
    config_map: str,
    mode: int = 0o444,
    *,
    optional: bool = False,
    paths: Mapping[str, str] | None = None,
) -> core.VolumeArgs:
    """Return a volume with a file per key of a ConfigMap.

    Args:
        name: name of the volume.
        config_map: name of the ConfigMap.
        mode: mode of the files.
        optional: whether the ConfigMap may be missing; the volume is then empty.
        paths: path of the file by key; all keys under their own names if None.
    """
    source = core.ConfigMapVolumeSourceArgs(
        name=config_map, default_mode=mode, optional=optional or None, items=_items(paths)
    )
    return core.VolumeArgs(name=name, config_map=source)


def secret_files(
    name: str, secret: str, mode: int = 0o440, *, paths: Mapping[str, str] | None = None
) -> core.VolumeArgs:
    """Return a volume with a file per key of a Secret, readable by the pod's group.

    Args:
        name: name of the volume.
        secret: name of the Secret.
        mode: mode of the files.
        paths: path of the file by key; all keys under their own names if None.
    """
    source = core.SecretVolumeSourceArgs(secret_name=secret, default_mode=mode, items=_items(paths))
    return core.VolumeArgs(name=name, secret=source)


def _items(paths: Mapping[str, str] | None) -> list[core.KeyToPathArgs] | None:
    return [core.KeyToPathArgs(key=key, path=path) for key, path in sorted((paths or {}).items())] or None


def https_probe(path: str, port: int, *, period: int, failures: int, timeout: int = 3) -> core.ProbeArgs:
    """Return a probe that requires 2xx or 3xx from HTTPS (the kubelet does not verify the certificate).

    Args:
        path: path of the request.
        port: port of the container.
        period: seconds between two probes.
        failures: consecutive failures that count.
        timeout: timeout in seconds.
    """
    request = core.HTTPGetActionArgs(path=path, port=port, scheme="HTTPS")
    return core.ProbeArgs(
        http_get=request, period_seconds=period, failure_threshold=failures, timeout_seconds=timeout
    )


def tcp_probe(port: int, *, period: int, failures: int) -> core.ProbeArgs:
    """Return a probe that requires an accepted TCP connection.

    Args:
        port: port of the container.
        period: seconds between two probes.
        failures: consecutive failures that count.
    """
    return core.ProbeArgs(
        tcp_socket=core.TCPSocketActionArgs(port=port), period_seconds=period, failure_threshold=failures
    )


def exec_probe(argv: Sequence[str], *, period: int, failures: int, timeout: int) -> core.ProbeArgs:
    """Return a probe that requires exit code 0 of a program in the container.

    Each execution costs the node 100 to 200 ms of CPU time, whatever the program does: prefer a probe server.

    Args:
        argv: program and arguments.
        period: seconds between two probes.
        failures: consecutive failures that count.
        timeout: timeout in seconds.
    """
    return core.ProbeArgs(
        exec_=core.ExecActionArgs(command=list(argv)),
        period_seconds=period,
        failure_threshold=failures,
        timeout_seconds=timeout,
    )
