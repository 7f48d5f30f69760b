"""Programs and modules of the extra `audit`, which a plain installation does not have."""

from __future__ import annotations

import importlib.util
import shutil
import sys
from pathlib import Path

from infra.errors import UsageError

INSTALL_COMMAND = "pip install 'esq[audit]'"


def require_program(name: str) -> str:
    """Return the path of a program of the extra.

    Raises:
        UsageError: it is not installed.
    """
    beside_python = Path(sys.executable).with_name(name)
    path = str(beside_python) if beside_python.exists() else shutil.which(name)
    if path is None:
        raise _missing(name)
    return path


def require_module(name: str) -> None:
    """Reject an installation without a module of the extra.

    Raises:
        UsageError: it is not installed.
    """
    if importlib.util.find_spec(name) is None:
        raise _missing(name)


def _missing(name: str) -> UsageError:
    return UsageError(
        f"`{name}` is not installed; it belongs to the extra `audit`",
        location=sys.prefix,
        remedy=f"Run: {INSTALL_COMMAND}. `./esq` of a checkout installs it by itself.",
    )
