"""The catalog of audited statements: every named query of the services, with parameters and limits.

`parameters/SERVICE.yaml` gives each parameter as an SQL expression, which is evaluated on the data set first:
so the values fit the data. A statement may have several cases, such as a large and a paused campaign. A hot
statement, which is on the path of messages or requests, has limits: milliseconds and blocks.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from infra.errors import Problem, ProblemsError
from infra.validation import problems_of
from services.contracts.named_queries import parse_queries

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

KIT = "kit"
KIT_SCHEMA = "campaigns"
"""The statements of the kit run in the schema of one of the services that have its tables."""
_PROJECT = Path(__file__).resolve().parents[4]
_PARAMETERS = Path(__file__).with_name("parameters")
_PARAMETER = re.compile(r"(?<![:\w]):([a-z]\w*)(?!:)")
"""As SQLAlchemy finds parameters: `::` is a cast."""


class _Entry(BaseModel):
    """An entry of a parameters file; see `Statement`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    parameters: dict[str, str | int | float] = Field(default_factory=dict)
    cases: dict[str, dict[str, str | int | float]] = Field(default={"": {}})
    setup: tuple[str, ...] = ()
    limits: tuple[float, int] | None = None
    case_limits: dict[str, tuple[float, int]] = Field(default_factory=dict)
    accepts: str = ""
    utility: bool = False


class _File(BaseModel):
    """A parameters file: `defaults` of parameters by name, and an entry for each statement."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    defaults: dict[str, str | int | float]
    statements: dict[str, _Entry]


@dataclass(frozen=True)
class Statement:
    """A statement to run with the parameters of one case.

    Attributes:
        service: service that runs it; `kit` for those that services share.
        name: name of the query.
        case: name of the case; empty if there is one only.
        sql: the statement with numbered parameters.
        expressions: SQL expression of each parameter, in their order.
        setup: statements that run before, e.g. a temporary table.
        max_milliseconds: limit of a hot statement; None for others.
        max_blocks: limit of a hot statement for blocks of 8 KiB read from memory or disk; None for others.
        accepts: reason for which it may scan a large table or discard many rows; empty if it may not.
        utility: whether it has no plan, e.g. `CREATE TABLE`.
    """

    service: str
    name: str
    case: str
    sql: str
    expressions: tuple[str, ...]
    setup: tuple[str, ...] = ()
    max_milliseconds: float | None = None
    max_blocks: int | None = None
    accepts: str = ""
    utility: bool = False

    @property
    def id(self) -> str:
        """Its name in reports, e.g. `campaigns.outstanding_work (ended campaign)`."""
        return f"{self.service}.{self.name}" + (f" ({self.case})" if self.case else "")

    @property
    def schema(self) -> str:
        """Schema that it runs in."""
        return KIT_SCHEMA if self.service == KIT else self.service


def query_files(project: Path = _PROJECT) -> dict[str, Path]:
    """Return the `.sql` file of each service, and of the kit."""
    files = {path.parents[1].name: path for path in sorted(project.glob("services/*/adapters/queries.sql"))}
    return {**files, KIT: project / "services/kit/postgres/kit.sql"}


def load_statements(files: Mapping[str, Path], parameters: Path = _PARAMETERS) -> list[Statement]:
    """Return all cases of all statements.

    Args:
        files: `.sql` file by service.
        parameters: folder of the parameters files.

    Raises:
        ProblemsError: a statement has no parameters, or parameters have no statement; all of them are listed.
    """
    problems: list[Problem] = []
    statements: list[Statement] = []
    for service, file in files.items():
        source = parameters / f"{service}.yaml"
        queries = parse_queries(file.read_text(encoding="utf-8"), str(file))
        document = _read(source, problems)
        if document is not None:
            problems += _differences(queries, document, source)
            for name in queries.keys() & document.statements.keys():
                statements += _cases(service, name, queries[name], document, source, problems)
    if problems:
        raise ProblemsError("the parameters of the SQL audit do not fit the statements", problems)
    # The hot ones first: others write many rows, whose rolled back versions the next statements have to skip.
    return sorted(statements, key=lambda statement: (statement.max_milliseconds is None, statement.id))


def _read(source: Path, problems: list[Problem]) -> _File | None:
    remedy = "Give every statement of the service an entry with its parameters."
    if not source.exists():
        problems.append(Problem("the file does not exist", str(source), remedy))
        return None
    try:
        return _File.model_validate(yaml.safe_load(source.read_text(encoding="utf-8")))
    except ValidationError as error:
        problems += problems_of(error, source=str(source), remedy=remedy)
        return None


def _differences(queries: Iterable[str], document: _File, source: Path) -> list[Problem]:
    names, entries = set(queries), set(document.statements)
    missing = "Add an entry with its parameters, so that its plan is audited."
    return [
        *(
            Problem(f"the statement `{name}` has no entry", str(source), missing)
            for name in sorted(names - entries)
        ),
        *(
            Problem(f"there is no statement `{name}`", str(source), "Remove it.")
            for name in sorted(entries - names)
        ),
    ]


def _cases(  # noqa: PLR0913, PLR0917 - all of it describes one statement
    service: str, name: str, query: str, document: _File, source: Path, problems: list[Problem]
) -> list[Statement]:
    entry = document.statements[name]
    sql, names = number_parameters(query)
    statements = []
    for case, values in entry.cases.items():
        max_milliseconds, max_blocks = entry.case_limits.get(case) or entry.limits or (None, None)
        expressions: dict[str, Any] = {**document.defaults, **entry.parameters, **values}
        location = f"{source}: {name}"
        problems += [
            Problem(
                f"the parameter `{parameter}` has no value", location, "Add it, or a default of the file."
            )
            for parameter in names
            if parameter not in expressions
        ]
        statements.append(
            Statement(
                service,
                name,
                case,
                sql,
                tuple(str(expressions.get(parameter, "NULL")) for parameter in names),
                entry.setup,
                max_milliseconds,
                max_blocks,
                entry.accepts,
                entry.utility,
            )
        )
    return statements


def number_parameters(query: str) -> tuple[str, list[str]]:
    """Replace named parameters by `$1`, `$2`...; a name that is repeated keeps its number.

    Args:
        query: the query with parameters such as `:company`.

    Returns:
        The query, and the names in the order of their numbers.
    """
    names: list[str] = []

    def number(match: re.Match[str]) -> str:
        if match[1] not in names:
            names.append(match[1])
        return f"${names.index(match[1]) + 1}"

    return _PARAMETER.sub(number, query), names
