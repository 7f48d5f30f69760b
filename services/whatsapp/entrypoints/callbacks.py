"""`python3 -m services.whatsapp.entrypoints.callbacks`: works on callbacks that the API stored."""

from __future__ import annotations

from services.kit.process import launch
from services.whatsapp.bootstrap import assemble_callbacks
from services.whatsapp.settings import CallbacksSettings

if __name__ == "__main__":
    launch(CallbacksSettings, assemble_callbacks)
