"""The part of a kubeconfig that one context uses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from infra.errors import UsageError
from infra.validation import suggest

_FILE_KEYS = ("certificate-authority", "client-certificate", "client-key", "tokenFile")


def select_context(kubeconfig: Path, context: str) -> dict[str, Any]:
    """Return a kubeconfig with one context, which is the current one; paths in it are absolute.

    Args:
        kubeconfig: path of the kubeconfig.
        context: name of the context.

    Raises:
        UsageError: it is not a kubeconfig, or has no such context.
    """
    try:
        document = yaml.safe_load(kubeconfig.read_text(encoding="utf-8"))
        contexts = {entry["name"]: entry["context"] for entry in document["contexts"]}
        if context not in contexts:
            raise _unknown_context(kubeconfig, context, list(contexts))
        entries = {
            kind: _entry(document[f"{kind}s"], contexts[context][kind], kind, kubeconfig.parent)
            for kind in ("cluster", "user")
        }
    except (OSError, UnicodeDecodeError, yaml.YAMLError, KeyError, TypeError, StopIteration) as error:
        raise UsageError(
            "not a complete kubeconfig",
            location=f"{kubeconfig}, context `{context}`",
            remedy="Check it with `kubectl config view`.",
            detail=f"{type(error).__name__}: {error}",
        ) from error
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": context,
        "contexts": [{"name": context, "context": contexts[context]}],
        **{f"{kind}s": [entry] for kind, entry in entries.items()},
    }


def _entry(entries: list[dict[str, Any]], name: str, kind: str, folder: Path) -> dict[str, Any]:
    values: dict[str, Any] = next(entry[kind] for entry in entries if entry["name"] == name)
    values |= {key: str(folder / Path(values[key])) for key in _FILE_KEYS if values.get(key)}
    program = (values.get("exec") or {}).get("command", "")
    if "/" in program:
        values["exec"]["command"] = str(folder / program)
    return {"name": name, kind: values}


def _unknown_context(kubeconfig: Path, context: str, contexts: list[str]) -> UsageError:
    return UsageError(
        f"no context `{context}`",
        location=str(kubeconfig),
        remedy=f"{suggest(context, contexts)}Its contexts: {', '.join(contexts)}.",
    )
