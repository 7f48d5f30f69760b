"""The version of a Pulumi plugin, which takes no `--version`: it is started and asked over gRPC."""

from __future__ import annotations

import subprocess
import threading

_METHOD = "/pulumirpc.ResourceProvider/GetPluginInfo"
_TIMEOUT_SECONDS = 30.0


def plugin_version(program: str) -> str:
    """Return the version that a plugin reports of itself; empty when it does not answer.

    Args:
        program: name or path of the plugin. It prints the port that it listens on.
    """
    import grpc  # noqa: PLC0415 - only where a plugin is on PATH

    with subprocess.Popen(
        [program],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        timer = threading.Timer(_TIMEOUT_SECONDS, process.kill)
        timer.start()
        try:
            port = (process.stdout.readline() if process.stdout else "").strip()
            with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
                # The message has one field, a string: its bytes are enough, and the schema stays Pulumi's.
                response = channel.unary_unary(_METHOD)(b"", timeout=_TIMEOUT_SECONDS)
        except grpc.RpcError:
            return ""
        finally:
            timer.cancel()
            process.kill()
    return bytes(response).decode(errors="replace").strip()
