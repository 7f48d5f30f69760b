"""A restored Postgres beside the running one: serves until it is taken away. Same accounts, TLS only."""

from __future__ import annotations

import os
import sys

from infra.components.backup.inside import restored, selection, tools

TLS = """\
ssl = on
ssl_cert_file = '/etc/esq/tls/tls.crt'
ssl_key_file = '/etc/esq/tls/tls.key'
ssl_ca_file = '/etc/esq/tls/ca.crt'
password_encryption = 'scram-sha-256'
"""
HBA = "hostssl all all all scram-sha-256\n"


def main(wish: str) -> None:
    """Restore `wish` and become the server."""
    try:
        choice = selection.choose(selection.backups(tools.info()), wish)
        restored.fetch(choice.arguments)
    except (selection.NotRestorableError, tools.ToolError, ValueError) as error:
        tools.tell({"good": False, "faults": [str(error)[-1500:]]})
        sys.exit(1)
    argv = restored.settle(HBA, listen="*", more=TLS)
    os.execvp(argv[0], argv)  # noqa: S606 - becoming it is the point


if __name__ == "__main__":
    main(sys.argv[1])
