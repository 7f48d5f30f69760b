"""Values on the wire: what is secret and what is not known yet travel as marked structures inside a Protobuf Struct.

Inside the provider values are plain; which paths are secret is kept beside them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from google.protobuf import json_format, struct_pb2

if TYPE_CHECKING:
    from collections.abc import Iterable

Path = tuple[str | int, ...]

SIGNATURE = "4dabf18193072939515e22adb298388d"
SECRET = "1b47061264138c4ac30d75fd1eb44270"  # noqa: S105 - the wire's mark of a secret, not one
OUTPUT = "d0e6a833031e9bbcd3f4e8bde6ca49a4"
UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
"""Stands for a value that is not known before something is created."""


class Values:
    """A decoded structure.

    Attributes:
        plain: without marks; unknown values are the string `UNKNOWN`.
        secrets: paths of what was marked secret.
        unknown: whether anything is not known.
    """

    def __init__(self, struct: struct_pb2.Struct | None) -> None:
        self.secrets: set[Path] = set()
        self.unknown = False
        raw = {} if struct is None else json_format.MessageToDict(struct)
        self.plain: dict[str, Any] = self._strip(raw, ())

    def _strip(self, value: Any, path: Path) -> Any:  # noqa: ANN401 - JSON
        if isinstance(value, dict):
            mark = value.get(SIGNATURE)
            if mark == SECRET:
                self.secrets.add(path)
                return self._strip(value.get("value"), path)
            if mark == OUTPUT:
                return self._output(value, path)
            return {key: self._strip(each, (*path, key)) for key, each in value.items()}
        if isinstance(value, list):
            return [self._strip(each, (*path, index)) for index, each in enumerate(value)]
        if isinstance(value, float) and value.is_integer():
            return int(value)
        if value == UNKNOWN:
            self.unknown = True
        return value

    def _output(self, value: dict[str, Any], path: Path) -> Any:  # noqa: ANN401 - JSON
        if value.get("secret"):
            self.secrets.add(path)
        if "value" not in value:
            self.unknown = True
            return UNKNOWN
        return self._strip(value["value"], path)


def encode(plain: dict[str, Any], secrets: Iterable[Path] = ()) -> struct_pb2.Struct:
    """Return `plain` as a structure in which `secrets` are marked; inside an array the whole array is."""
    return json_format.ParseDict(_mark(plain, set(_outside_arrays(secrets)), ()), struct_pb2.Struct())


def _outside_arrays(paths: Iterable[Path]) -> Iterable[Path]:
    for path in paths:
        index = next((at for at, step in enumerate(path) if isinstance(step, int)), None)
        yield path if index is None else path[:index]


def _mark(value: Any, secrets: set[Path], path: Path) -> Any:  # noqa: ANN401 - JSON
    if path in secrets:
        return {SIGNATURE: SECRET, "value": _mark(value, set(), path)}
    if isinstance(value, dict):
        return {key: _mark(each, secrets, (*path, key)) for key, each in value.items()}
    if isinstance(value, list):
        return [_mark(each, secrets, (*path, index)) for index, each in enumerate(value)]
    return value
