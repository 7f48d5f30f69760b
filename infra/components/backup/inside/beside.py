"""A restored Postgres beside the running one: serves until it is taken away. Same accounts, TLS only."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from infra.components.backup.inside import restored, tools

if TYPE_CHECKING:
    from collections.abc import Sequence

TLS = """\
ssl = on
ssl_cert_file = '/etc/esq/tls/tls.crt'
ssl_key_file = '/etc/esq/tls/tls.key'
ssl_ca_file = '/etc/esq/tls/ca.crt'
password_encryption = 'scram-sha-256'
"""
HBA = "hostssl all all all scram-sha-256\n"


def main(arguments: Sequence[str]) -> None:
    """Restore with pgBackRest's `arguments` and become the server."""
    try:
        restored.fetch(arguments)
    except tools.ToolError as error:
        tools.tell({"good": False, "faults": [str(error)[-1500:]]})
        sys.exit(1)
    argv = restored.settle(HBA, listen="*", more=TLS)
    os.execvp(argv[0], argv)  # noqa: S606 - becoming it is the point


if __name__ == "__main__":
    main(sys.argv[1:])
