"""The contacts API as a process: `python -m services.contacts.entrypoints.api`."""

from __future__ import annotations

from services.contacts.bootstrap import assemble_api
from services.contacts.settings import Settings
from services.kit.process import launch

if __name__ == "__main__":
    launch(Settings, assemble_api)
