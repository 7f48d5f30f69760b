"""The campaigns API as a process: `python -m services.campaigns.entrypoints.api`."""

from __future__ import annotations

from services.campaigns.bootstrap import assemble_api
from services.campaigns.settings import ApiSettings
from services.kit.process import launch

if __name__ == "__main__":
    launch(ApiSettings, assemble_api)
