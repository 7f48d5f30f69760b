"""Reading a CSV file as it arrives, in bounded memory: bytes to lines, lines to contacts or rejections.

A line is a row: a quoted field may hold delimiters and quotes, not line ends. The first line decides the
delimiter (`,`, `;` or tab) and the columns: by their headings, or, without headings, by which field is a
phone number.
"""

from __future__ import annotations

import csv
import unicodedata
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from services.contacts.domain import NotAPhoneError, normalise_name, normalise_phone
from services.kit.errors import InvalidError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Iterator

LINE_BYTES = 16_384
BATCH_LINES = 2_000
LISTED_REJECTIONS = 1_000
"""Rejections beyond these are counted, not listed."""
DELIMITERS = ",;\t"
PHONE_HEADINGS = frozenset(
    {"phone", "phone_number", "phonenumber", "mobile_phone", "mobile", "number", "tel", "fone", "msisdn"}
    | {"telefone", "celular", "whatsapp", "numero", "numero_de_telefone", "numero_telefone"}
)
NAME_HEADINGS = frozenset(
    {"name", "first_name", "full_name", "customer", "contact"}
    | {"nome", "primeiro_nome", "nome_completo", "cliente", "contato"}
)
NOT_UTF8 = "not UTF-8: save the file as UTF-8 (in a spreadsheet: CSV UTF-8) and send it again"


@dataclass(frozen=True)
class Row:
    """A row that is a contact.

    Attributes:
        phone: E.164.
        name: may be empty.
    """

    phone: str
    name: str


@dataclass(frozen=True)
class Rejection:
    """A line that is no contact.

    Attributes:
        line: its number, from 1.
        reason: for people; never repeats the line.
    """

    line: int
    reason: str


@dataclass
class Rejections:
    """Lines that are no contacts: the first listed, all counted.

    Attributes:
        listed: at most `LISTED_REJECTIONS`.
        total: all of them.
    """

    listed: list[Rejection] = field(default_factory=list)
    total: int = 0

    def add(self, line: int, reason: str) -> None:
        """Count one, and list it while there is room."""
        self.total += 1
        if len(self.listed) < LISTED_REJECTIONS:
            self.listed.append(Rejection(line, reason))


@dataclass(frozen=True)
class Columns:
    """Where things stand in a row.

    Attributes:
        delimiter: between fields.
        phone: index of the number.
        name: index of the name, if there is one.
        headed: whether the first line holds headings.
    """

    delimiter: str
    phone: int
    name: int | None
    headed: bool


@dataclass(frozen=True)
class Line:
    """A line of the file, without its end; None for text that was too long to keep.

    Attributes:
        number: from 1.
        text: bytes, not yet decoded.
    """

    number: int
    text: bytes | None


async def batches(chunks: AsyncIterator[bytes], size: int = BATCH_LINES) -> AsyncIterator[list[Line]]:
    """Cut a stream of bytes into batches of lines; never holds more than a batch and one line."""
    splitter = LineSplitter()
    waiting: list[Line] = []
    async for chunk in chunks:
        for line in splitter.feed(chunk):
            waiting.append(line)
            if len(waiting) >= size:
                yield waiting
                waiting = []
    waiting.extend(splitter.end())
    if waiting:
        yield waiting


class LineSplitter:
    """Turns chunks of bytes into numbered lines; ends are LF or CRLF, a byte order mark is left out."""

    def __init__(self) -> None:
        self._rest = b""
        self._skipping = False
        self._number = 0

    def feed(self, chunk: bytes) -> Iterator[Line]:
        """Yield the lines that this chunk completes."""
        *complete, self._rest = (self._rest + chunk).split(b"\n")
        for text in complete:
            yield self._line(text)
        if len(self._rest) > LINE_BYTES:
            self._skipping, self._rest = True, b""

    def end(self) -> Iterator[Line]:
        """Yield the last line, when the file does not end with a line end."""
        if self._rest or self._skipping:
            yield self._line(self._rest)
            self._rest = b""

    def _line(self, text: bytes) -> Line:
        self._number += 1
        too_long, self._skipping = self._skipping or len(text) > LINE_BYTES, False
        text = text.removesuffix(b"\r")
        if self._number == 1:
            text = text.removeprefix(b"\xef\xbb\xbf")
        return Line(self._number, None if too_long else text)


class RowReader:
    """Turns lines into rows, once the first line has told what the columns are."""

    def __init__(self, country: str) -> None:
        self.rejections = Rejections()
        self._country = country
        self._columns: Columns | None = None

    def read(self, lines: Iterable[Line]) -> list[Row]:
        """Return the contacts of these lines; the rest is added to `rejections`.

        Raises:
            InvalidError: the first line is not UTF-8 or names no column of phone numbers.
        """
        rows = []
        for line in lines:
            if line.text is not None and not line.text.strip():
                continue
            try:
                row = self._row(line)
            except ValueError as error:
                self.rejections.add(line.number, str(error))
            else:
                rows.extend([row] if row else [])
        return rows

    def _row(self, line: Line) -> Row | None:
        """Read one line; None for the headings.

        Raises:
            ValueError: why it is no contact.
        """
        if self._columns is None:
            self._columns = find_columns(_first(line), self._country)
            if self._columns.headed:
                return None
        fields = split_fields(_decoded(line), self._columns.delimiter)
        if len(fields) <= self._columns.phone:
            raise ValueError("the row has no field for the phone number")
        phone = normalise_phone(fields[self._columns.phone], self._country)
        at = self._columns.name
        return Row(phone, normalise_name(fields[at]) if at is not None and at < len(fields) else "")


def _decoded(line: Line) -> str:
    """Return the line's text.

    Raises:
        ValueError: too long, or not UTF-8.
    """
    if line.text is None:
        raise ValueError(f"the line is longer than {LINE_BYTES} bytes")
    try:
        return line.text.decode()
    except UnicodeDecodeError:
        raise ValueError(NOT_UTF8) from None


def _first(line: Line) -> str:
    """Return the first line's text; a file that begins wrongly is refused whole.

    Raises:
        InvalidError: too long, or not UTF-8.
    """
    try:
        text = _decoded(line)
    except ValueError as error:
        raise InvalidError(f"line {line.number}: {error}") from None
    if "\x00" in text:
        raise InvalidError(f"line {line.number}: {NOT_UTF8}")
    return text


def split_fields(text: str, delimiter: str) -> list[str]:
    """Split a row into its fields.

    Raises:
        ValueError: a quote that does not end on its line.
    """
    try:
        return next(csv.reader((text,), delimiter=delimiter, strict=True, skipinitialspace=True))
    except (csv.Error, StopIteration):
        raise ValueError("a quoted field does not end on its line") from None


def find_columns(text: str, country: str) -> Columns:
    """Decide delimiter and columns by the first line.

    Raises:
        InvalidError: it neither names a column of phone numbers nor holds one.
    """
    delimiter = max(DELIMITERS, key=Counter(text).__getitem__)
    try:
        fields = split_fields(text, delimiter)
    except ValueError as error:
        raise InvalidError(f"line 1: {error}") from None
    headings = [_plain(cell) for cell in fields]
    phone = next((at for at, heading in enumerate(headings) if heading in PHONE_HEADINGS), None)
    if phone is not None:
        return Columns(delimiter, phone, _name_column(headings, phone), headed=True)
    phone = next((at for at, cell in enumerate(fields) if _is_phone(cell, country)), None)
    if phone is None:
        raise InvalidError(
            "no column of phone numbers: let the first line name one, such as phone or telefone"
        )
    return Columns(
        delimiter, phone, next((at for at in range(len(fields)) if at != phone), None), headed=False
    )


def _name_column(headings: list[str], phone: int) -> int | None:
    """Return the column of names, if a heading says so."""
    return next((at for at, name in enumerate(headings) if name in NAME_HEADINGS and at != phone), None)


def _plain(heading: str) -> str:
    """Return a heading in lower case, without accents, words joined by underscores."""
    decomposed = unicodedata.normalize("NFKD", heading.strip().lower())
    letters = "".join(letter for letter in decomposed if not unicodedata.combining(letter))
    return "_".join(letters.replace("-", " ").split())


def _is_phone(text: str, country: str) -> bool:
    try:
        normalise_phone(text, country)
    except NotAPhoneError:
        return False
    return True
