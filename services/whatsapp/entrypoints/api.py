"""`python3 -m services.whatsapp.entrypoints.api`: takes connections and callbacks."""

from __future__ import annotations

from services.kit.process import launch
from services.whatsapp.bootstrap import assemble_api
from services.whatsapp.settings import ApiSettings

if __name__ == "__main__":
    launch(ApiSettings, assemble_api)
