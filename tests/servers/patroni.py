"""A member of the database cluster: Patroni and Postgres as in a pod, with the files that the pod would mount.

Its folders have other paths than in a pod, and its ports are free ones on loopback. The rest of the rendered
configuration is unchanged. Patroni keeps its state in a real API server.
"""

from __future__ import annotations

import json
import os
import pwd
import shutil
import ssl
import sys
import tempfile
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any

from infra.components.postgres.pod_programs import strict_patroni
from infra.config_files import postgres, postgres_accounts
from infra.names import REPLICATION_ROLE, REWIND_ROLE, login_role
from tests.servers.process import Server, free_port

if TYPE_CHECKING:
    from infra.credentials import Credentials

_ROOT_ALSO_READS = ("--inh-caps=-all,+dac_read_search", "--ambient-caps=-all,+dac_read_search")
"""Postgres refuses to run as root; its user may not read the Python environment of root."""


class PatroniMember:
    """One member; `write_credentials` replaces its files as the kubelet does.

    Args:
        name: its name, that of its pod.
        namespace: namespace of the cluster's objects.
        kubeconfig: kubeconfig of the API server.
    """

    def __init__(self, name: str, namespace: str, kubeconfig: Path) -> None:
        self.name = name
        self.port, self.rest_port = free_port(), free_port()
        self.folder = Path(tempfile.mkdtemp(prefix="esq-patroni-"))
        self._namespace, self._kubeconfig = namespace, kubeconfig
        self._server = Server(name, self.folder / "log")
        for folder in ("run", "patroni", "accounts", "tls"):
            (self.folder / folder).mkdir()

    @property
    def credential_files(self) -> list[Path]:
        """Files that it reads again after a change."""
        return [Path(self._local(file)) for file in postgres.RELOADED_FILES]

    def write_credentials(self, credentials: Credentials) -> None:
        """Write the files of its Secret.

        Args:
            credentials: the used and the accepted ones.
        """
        members = {
            "replication": (
                login_role(REPLICATION_ROLE, credentials.generation),
                credentials.postgres.replication,
            ),
            "rewind": (login_role(REWIND_ROLE, credentials.generation), credentials.postgres.rewind),
        }
        pair = credentials.certificates["postgres"]
        files = {
            "accounts/accounts.sql": postgres_accounts.render_accounts_sql(credentials.postgres_logins),
            "accounts/authentication.yml": postgres.render_authentication_yaml(
                members, credentials.postgres.patroni
            ),
            "tls/tls.crt": pair.certificate,
            "tls/tls.key": pair.key,
            "tls/ca.crt": credentials.ca_bundle,
        }
        for path, content in files.items():
            self._write(path, content, 0o600)

    def start(self) -> None:
        """Start it; the first member creates the database cluster."""
        yaml_text = postgres.render_patroni_yaml(
            scope="postgres", labels={"app": "postgres"}, shared_buffers="32MB", max_connections=50
        )
        accounts_script = postgres_accounts.render_accounts_script(
            postgres.ACCOUNTS_FILE, "/etc/esq/patroni/database.sql"
        )
        self._write("patroni/new.yml", yaml_text)
        self._write("patroni/start.sh", postgres.render_start_script())
        self._write("patroni/stop.sh", postgres.render_stop_script())
        self._write("patroni/accounts.sh", accounts_script)
        self._write("patroni/post_init.sh", postgres.render_post_init_script(database="esq"))
        self._write("patroni/database.sql", postgres_accounts.render_database_sql("esq"))
        self._write("patroni/pgbackrest-archive.sh", "#!/bin/sh\nexit 0\n")
        self._write("patroni/strict_patroni.py", Path(strict_patroni.__file__).read_text())
        self._write("bin/patronictl", f"#!{sys.executable}\nfrom patroni.ctl import ctl\nctl()\n")
        self._server.launch([*self._as_user(), str(self.folder / "patroni/start.sh")], env=self.environment())

    def stop(self) -> None:
        """Kill it with its Postgres, and delete its folder."""
        self._server.kill_group()
        shutil.rmtree(self.folder, ignore_errors=True)

    def hook_argv(self) -> list[str]:
        """Return the command that the kubelet runs before it stops the pod."""
        return [*self._as_user(), str(self.folder / "patroni/stop.sh")]

    @property
    def postmaster(self) -> int:
        """PID of its Postgres."""
        return int((self.folder / "data/pgdata/postmaster.pid").read_text().split()[0])

    def cluster(self) -> dict[str, Any]:
        """Return the members as this one reports them, by name; empty when it does not answer."""
        context = ssl.create_default_context(cafile=str(self.folder / "tls/ca.crt"))
        context.check_hostname = False
        try:
            with urllib.request.urlopen(
                f"https://127.0.0.1:{self.rest_port}/cluster", timeout=3, context=context
            ) as response:
                return {member["name"]: member for member in json.load(response)["members"]}
        except OSError:
            return {}

    def tail(self) -> str:
        """Return the end of its log."""
        return self._server.tail()

    def environment(self) -> dict[str, str]:
        """Return the variables of its programs."""
        ordinal = int(self.name.rpartition("-")[2])
        return {
            "PATH": f"{self.folder}/bin:{Path(sys.executable).parent}:{os.environ['PATH']}",
            "PYTHONPATH": os.pathsep.join(sys.path),
            "PYTHONDONTWRITEBYTECODE": "1",
            "HOME": str(self.folder),
            # In a pod it is the default.
            "PGPORT": str(self.port),
            "KUBECONFIG": str(self._kubeconfig),
            "PATRONI_NAME": self.name,
            "PATRONI_KUBERNETES_NAMESPACE": self._namespace,
            "PATRONI_KUBERNETES_CONTEXT": "test",
            # Endpoints must not contain loopback addresses.
            "PATRONI_KUBERNETES_POD_IP": f"10.0.0.{ordinal + 1}",
            "PATRONI_POSTGRESQL_LISTEN": f"127.0.0.1:{self.port}",
            "PATRONI_POSTGRESQL_CONNECT_ADDRESS": f"127.0.0.1:{self.port}",
            "PATRONI_RESTAPI_LISTEN": f"127.0.0.1:{self.rest_port}",
            "PATRONI_RESTAPI_CONNECT_ADDRESS": f"127.0.0.1:{self.rest_port}",
            "PATRONICTL_CONFIG_FILE": self._local(postgres.PATRONI_DIRECTORY),
        }

    def _as_user(self) -> list[str]:
        if os.geteuid() != 0:
            return []
        entry = pwd.getpwnam("postgres")
        for path in [self.folder, *self.folder.rglob("*")]:
            os.chown(path, entry.pw_uid, entry.pw_gid)
        return [
            *("setpriv", f"--reuid={entry.pw_uid}", f"--regid={entry.pw_gid}", "--clear-groups"),
            *_ROOT_ALSO_READS,
            "--",
        ]

    def _write(self, path: str, content: str, mode: int = 0o755) -> None:
        file = self.folder / path
        file.parent.mkdir(exist_ok=True)
        fresh = file.with_name(f".{file.name}")
        fresh.write_text(self._local(content))
        fresh.chmod(mode)
        if os.geteuid() == 0:
            entry = pwd.getpwnam("postgres")
            os.chown(fresh, entry.pw_uid, entry.pw_gid)
        fresh.rename(file)

    def _local(self, text: str) -> str:
        """Return a text with the paths of this member instead of those of a pod."""
        for path, folder in (
            ("/etc/esq", ""),
            ("/run/postgresql", "/run"),
            ("/var/lib/postgresql/data", "/data"),
        ):
            text = text.replace(path, f"{self.folder}{folder}")
        return text
