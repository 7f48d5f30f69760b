"""Licences of the components: from the metadata of packages, and from the texts in their sources."""

from __future__ import annotations

import importlib.metadata
import re
import tomllib
import zipfile
from functools import cache
from typing import TYPE_CHECKING

from cli.actions.audit.deps.inventory import CRATES, GO, MAVEN, PYPI, normalise
from cli.actions.audit.deps.local_sources import cargo_source, go_source, jar_source

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from collections.abc import Set as AbstractSet
    from importlib.metadata import Distribution

    from cli.actions.audit.deps.inventory import Component

UNRECOGNISED = "unrecognised"
_FILE = re.compile(r"(?:.*/)?(?:un)?(?:licen[cs]e|copying)[^/]*", re.IGNORECASE)
_TEXTS = (
    ("MPL-2.0", r"Mozilla Public License"),
    ("AGPL-3.0", r"GNU AFFERO GENERAL PUBLIC LICENSE|AGPLv3"),
    ("LGPL", r"GNU (?:LESSER|LIBRARY) GENERAL PUBLIC LICENSE"),
    ("GPL", r"GNU GENERAL PUBLIC LICENSE"),
    ("Apache-2.0", r"Apache License\s+Version 2\.0|apache\.org/licenses/LICENSE-2\.0"),
    ("EPL-2.0", r"Eclipse Public License"),
    (
        "BSD-3-Clause",
        r"Redistribution and use in source and binary forms[\s\S]*(?:Neither the name|may not be used to)",
    ),
    ("BSD-2-Clause", r"Redistribution and use in source and binary forms"),
    ("MIT", r"Permission is hereby granted, free of charge"),
    ("ISC", r"Permission to use, copy, modify, (?:and/or|and) distribute"),
    ("CC0-1.0", r"CC0 1\.0 Universal"),
    ("Unlicense", r"This is free and unencumbered software"),
)
"""A phrase of each text, the most specific first: some texts quote others."""
_AND = re.compile(r"\s+AND\s+", re.IGNORECASE)
_OR = re.compile(r"\s+OR\s+|/", re.IGNORECASE)
_WITH = re.compile(r"\s+WITH\s+", re.IGNORECASE)


def find_licence(component: Component, names: Mapping[str, str]) -> str | None:
    """Return the licence of a component.

    Args:
        component: the component.
        names: SPDX identifier by the name that packages give it.

    Returns:
        Its SPDX expression; `unrecognised`; None if the component is not on this machine.
    """
    readers: dict[str, Callable[[Component], str | None]] = {
        PYPI: _python_licence,
        GO: _go_licence,
        CRATES: _crate_licence,
        MAVEN: _jar_licence,
    }
    licence = readers[component.ecosystem](component)
    return names.get(licence, licence) if licence else licence


def is_allowed(expression: str, allowed: AbstractSet[str]) -> bool:
    """Return whether a licence is allowed: of alternatives one, of a conjunction each.

    Every part between two `AND` needs an allowed alternative. Alternatives that are conjunctions themselves,
    such as `A OR (B AND C)`, are so judged too strictly, and never too mildly.

    Args:
        expression: SPDX expression.
        allowed: allowed identifiers.
    """
    if expression in allowed:
        return True
    parts = _AND.split(expression.replace("(", "").replace(")", ""))
    return all(any(_is_allowed_term(term, allowed) for term in _OR.split(part)) for part in parts)


def _is_allowed_term(term: str, allowed: AbstractSet[str]) -> bool:
    """Return whether a licence, and its exception if it has one, are allowed."""
    return all(name.strip() in allowed for name in _WITH.split(term))


def classify(text: str) -> str:
    """Return the licence of a text, by phrases that only it contains."""
    return next((name for name, phrase in _TEXTS if re.search(phrase, text, re.IGNORECASE)), UNRECOGNISED)


@cache
def installed_packages() -> dict[str, Distribution]:
    """Return the Python packages of this environment by normalised name."""
    return {normalise(item.metadata["Name"]): item for item in importlib.metadata.distributions()}


def _python_licence(component: Component) -> str | None:
    package = installed_packages().get(component.name)
    if package is None or package.version != component.version:
        return None
    metadata = package.metadata
    if "License-Expression" in metadata:
        return metadata["License-Expression"]
    classifiers = [
        value.rpartition(" :: ")[2]
        for value in metadata.get_all("Classifier") or ()
        if value.startswith("License ::") and value.count("::") > 1
    ]
    lines = metadata["License"].strip().splitlines() if "License" in metadata else []
    return " OR ".join(classifiers) or (lines[0].strip() if lines else UNRECOGNISED)


def _go_licence(component: Component) -> str | None:
    folder = go_source(component.name, component.version)
    if folder is None:
        return None
    files = [path for path in sorted(folder.iterdir()) if path.is_file() and _FILE.fullmatch(path.name)]
    return classify("\n".join(path.read_text(errors="replace") for path in files))


def _crate_licence(component: Component) -> str | None:
    manifest = cargo_source(component.name, component.version, "Cargo.toml")
    if manifest is None:
        return None
    package = tomllib.loads(manifest.read_text(encoding="utf-8"))["package"]
    if "license-file" in package and "license" not in package:
        return classify((manifest.parent / package["license-file"]).read_text(errors="replace"))
    return str(package.get("license") or UNRECOGNISED)


def _jar_licence(component: Component) -> str | None:
    artifact = component.name.rpartition(":")[2]
    jar = jar_source(f"{artifact}-{component.version}.jar")
    if jar is None:
        return None
    with zipfile.ZipFile(jar) as archive:
        names = [
            name for name in archive.namelist() if _FILE.fullmatch(name) or name == "META-INF/MANIFEST.MF"
        ]
        return classify("\n".join(archive.read(name).decode(errors="replace") for name in names))
