"""Streaming CSV parser with bounded memory: bytes to lines, lines to contacts or rejections.

Each line is a row: a quoted field may contain delimiters and quotes, but no line breaks. The first line
determines the delimiter (`,`, `;` or tab) and the columns: by their names, or, without a header, by which
field is a phone number.
"""

from __future__ import annotations

import csv
import unicodedata
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from services.contacts.domain.model import InvalidPhoneNumberError, normalise_name, normalise_phone
from services.kit.errors import InvalidError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Iterator

MAX_LINE_BYTES = 16_384
LINES_PER_BATCH = 2_000
MAX_LISTED_REJECTIONS = 1_000
"""Further rejections are counted, not listed."""
DELIMITERS = ",;\t"
PHONE_COLUMN_NAMES = frozenset(
    {"phone", "phone_number", "phonenumber", "mobile_phone", "mobile", "number", "tel", "fone", "msisdn"}
    | {"telefone", "celular", "whatsapp", "numero", "numero_de_telefone", "numero_telefone"}
)
NAME_COLUMN_NAMES = frozenset(
    {"name", "first_name", "full_name", "customer", "contact"}
    | {"nome", "primeiro_nome", "nome_completo", "cliente", "contato"}
)
NOT_UTF8_REASON = "not UTF-8: save the file as UTF-8 (in a spreadsheet: CSV UTF-8) and send it again"


@dataclass(frozen=True)
class Row:
    """A valid row.

    Attributes:
        phone: phone number, E.164 with +.
        name: name of the contact; may be empty.
    """

    phone: str
    name: str


@dataclass(frozen=True)
class Rejection:
    """A rejected line.

    Attributes:
        line: line number, from 1.
        reason: reason, shown to users; never repeats the content of the line.
    """

    line: int
    reason: str


@dataclass
class Rejections:
    """Rejected lines of a file.

    Attributes:
        first: the first `MAX_LISTED_REJECTIONS`.
        total: number of all rejected lines.
    """

    first: list[Rejection] = field(default_factory=list)
    total: int = 0

    def add(self, line: int, reason: str) -> None:
        """Count a rejected line, and list it while the limit is not reached.

        Args:
            line: line number, from 1.
            reason: reason, shown to users.
        """
        self.total += 1
        if len(self.first) < MAX_LISTED_REJECTIONS:
            self.first.append(Rejection(line, reason))


@dataclass(frozen=True)
class Columns:
    """Columns of a file.

    Attributes:
        delimiter: field delimiter.
        phone: index of the phone number.
        name: index of the name, if there is one.
        has_header: whether the first line contains column names.
    """

    delimiter: str
    phone: int
    name: int | None
    has_header: bool


@dataclass(frozen=True)
class Line:
    """A line of the file, without its line break.

    Attributes:
        number: line number, from 1.
        text: undecoded bytes; None for a line over the maximum length.
    """

    number: int
    text: bytes | None


async def split_batches(
    chunks: AsyncIterator[bytes], size: int = LINES_PER_BATCH
) -> AsyncIterator[list[Line]]:
    """Split a stream of bytes into batches of lines; at most one batch and one line are in memory.

    Args:
        chunks: the streamed file.
        size: lines per batch.

    Yields:
        The batches; the last one may be shorter.
    """
    splitter = LineSplitter()
    batch: list[Line] = []
    async for chunk in chunks:
        for line in splitter.feed(chunk):
            batch.append(line)
            if len(batch) >= size:
                yield batch
                batch = []
    batch.extend(splitter.flush())
    if batch:
        yield batch


class LineSplitter:
    """Splits chunks of bytes into numbered lines at LF or CRLF; a byte order mark is removed."""

    def __init__(self) -> None:
        self._incomplete_line = b""
        self._skipping = False
        self._number = 0

    def feed(self, chunk: bytes) -> Iterator[Line]:
        """Yield the lines that this chunk completes."""
        *complete, self._incomplete_line = (self._incomplete_line + chunk).split(b"\n")
        for text in complete:
            yield self._line(text)
        if len(self._incomplete_line) > MAX_LINE_BYTES:
            self._skipping, self._incomplete_line = True, b""

    def flush(self) -> Iterator[Line]:
        """Yield the last line if the file does not end with a line break."""
        if self._incomplete_line or self._skipping:
            yield self._line(self._incomplete_line)
            self._incomplete_line = b""

    def _line(self, text: bytes) -> Line:
        self._number += 1
        too_long, self._skipping = self._skipping or len(text) > MAX_LINE_BYTES, False
        text = text.removesuffix(b"\r")
        if self._number == 1:
            text = text.removeprefix(b"\xef\xbb\xbf")
        return Line(self._number, None if too_long else text)


class RowParser:
    """Parses lines into rows; the first line determines the columns."""

    def __init__(self, country: str) -> None:
        self.rejections = Rejections()
        self._country = country
        self._columns: Columns | None = None

    def parse(self, lines: Iterable[Line]) -> list[Row]:
        """Return the valid rows of lines; the others are added to `rejections`.

        Raises:
            InvalidError: the first line is not UTF-8 or has no column of phone numbers.
        """
        rows = []
        for line in lines:
            if line.text is not None and not line.text.strip():
                continue
            try:
                row = self._parse_line(line)
            except ValueError as error:
                self.rejections.add(line.number, str(error))
            else:
                rows.extend([row] if row else [])
        return rows

    def _parse_line(self, line: Line) -> Row | None:
        """Parse one line; return None for the header.

        Raises:
            ValueError: reason why the line is invalid.
        """
        if self._columns is None:
            self._columns = detect_columns(_decode_first_line(line), self._country)
            if self._columns.has_header:
                return None
        fields = split_fields(_decode(line), self._columns.delimiter)
        if len(fields) <= self._columns.phone:
            raise ValueError("the row has no field for the phone number")
        phone = normalise_phone(fields[self._columns.phone], self._country)
        index = self._columns.name
        name = normalise_name(fields[index]) if index is not None and index < len(fields) else ""
        return Row(phone, name)


def _decode(line: Line) -> str:
    """Return the text of a line.

    Raises:
        ValueError: the line is too long or not UTF-8.
    """
    if line.text is None:
        raise ValueError(f"the line is longer than {MAX_LINE_BYTES} bytes")
    try:
        return line.text.decode()
    except UnicodeDecodeError:
        raise ValueError(NOT_UTF8_REASON) from None


def _decode_first_line(line: Line) -> str:
    """Return the text of the first line; an invalid first line rejects the file.

    Raises:
        InvalidError: the line is too long or not UTF-8.
    """
    try:
        text = _decode(line)
    except ValueError as error:
        raise InvalidError(f"line {line.number}: {error}") from None
    if "\x00" in text:
        raise InvalidError(f"line {line.number}: {NOT_UTF8_REASON}")
    return text


def split_fields(text: str, delimiter: str) -> list[str]:
    """Split a row into its fields.

    Args:
        text: the row.
        delimiter: field delimiter.

    Returns:
        The unquoted fields.

    Raises:
        ValueError: a quote is not closed on its line.
    """
    try:
        return next(csv.reader((text,), delimiter=delimiter, strict=True, skipinitialspace=True))
    except (csv.Error, StopIteration):
        raise ValueError("a quoted field is not closed on its line") from None


def detect_columns(text: str, country: str) -> Columns:
    """Determine delimiter and columns from the first line.

    Args:
        text: the first line.
        country: ISO 3166 code of the country of numbers without country code.

    Returns:
        The columns.

    Raises:
        InvalidError: the line has neither a phone number nor the name of a column of phone numbers.
    """
    delimiter = max(DELIMITERS, key=Counter(text).__getitem__)
    try:
        fields = split_fields(text, delimiter)
    except ValueError as error:
        raise InvalidError(f"line 1: {error}") from None
    names = [_normalise_column_name(cell) for cell in fields]
    phone = next((index for index, name in enumerate(names) if name in PHONE_COLUMN_NAMES), None)
    if phone is not None:
        return Columns(delimiter, phone, _find_name_column(names, phone), has_header=True)
    phone = next((index for index, cell in enumerate(fields) if _is_phone_number(cell, country)), None)
    if phone is None:
        raise InvalidError(
            "no column of phone numbers: name one in the first line, such as phone or telefone"
        )
    name = next((index for index in range(len(fields)) if index != phone), None)
    return Columns(delimiter, phone, name, has_header=False)


def _find_name_column(names: list[str], phone: int) -> int | None:
    indexes = (index for index, name in enumerate(names) if name in NAME_COLUMN_NAMES and index != phone)
    return next(indexes, None)


def _normalise_column_name(text: str) -> str:
    """Return a column name in lower case, without accents, with words joined by underscores."""
    decomposed = unicodedata.normalize("NFKD", text.strip().lower())
    unaccented = "".join(character for character in decomposed if not unicodedata.combining(character))
    return "_".join(unaccented.replace("-", " ").split())


def _is_phone_number(text: str, country: str) -> bool:
    try:
        normalise_phone(text, country)
    except InvalidPhoneNumberError:
        return False
    return True
