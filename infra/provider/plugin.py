"""The plugin's process: a gRPC server that the engine starts and talks to."""

from __future__ import annotations

import sys
import threading
from concurrent import futures

import grpc
from pulumi.runtime.proto import engine_pb2_grpc, provider_pb2_grpc

from infra.provider.servicer import Servicer

UNTIL_EOF = "--until-eof"
"""Argument of a plugin that several engines attach to: it ends when its standard input does."""
_THREADS = 128
"""A resource that waits holds a thread; a layer has fewer resources than this."""
_MOST_BYTES = 400 * 1024 * 1024
"""The engine's own limit of a message."""


def main() -> None:
    """Serve until the engine ends this process; print the port as the engine expects."""
    options = [
        ("grpc.max_receive_message_length", _MOST_BYTES),
        ("grpc.max_send_message_length", _MOST_BYTES),
    ]
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=_THREADS), options=options)
    stays = UNTIL_EOF in sys.argv
    address = sys.argv[-1] if len(sys.argv) > 1 and not stays else None
    engine = engine_pb2_grpc.EngineStub(grpc.insecure_channel(address)) if address else None
    servicer = Servicer(engine)
    provider_pb2_grpc.add_ResourceProviderServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    sys.stdout.write(f"{port}\n")
    sys.stdout.flush()
    if stays:
        threading.Thread(target=_end_with_input, args=(server,), daemon=True).start()
    server.wait_for_termination()
    servicer.close()


def _end_with_input(server: grpc.Server) -> None:
    sys.stdin.read()
    server.stop(grace=None)


if __name__ == "__main__":
    main()
