"""`python3 -m services.whatsapp.entrypoints.dispatcher`: sends; may be killed at any moment."""

from __future__ import annotations

from services.kit.process import launch
from services.whatsapp.bootstrap import assemble_dispatcher
from services.whatsapp.settings import DispatcherSettings

if __name__ == "__main__":
    launch(DispatcherSettings, assemble_dispatcher)
