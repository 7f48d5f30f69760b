"""CSV parser: columns, lines, rejections, and arbitrary chunks of the stream."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.contacts.domain.csv_import import (
    MAX_LINE_BYTES,
    MAX_LISTED_REJECTIONS,
    Columns,
    LineSplitter,
    Rejections,
    Row,
    RowParser,
    detect_columns,
    split_batches,
)
from services.contacts.domain.model import (
    InvalidPhoneNumberError,
    normalise_name,
    normalise_phone,
    validate_list_name,
)
from services.kit.errors import InvalidError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

E164_NUMBER = "+5511987654321"


def parse(content: str | bytes) -> tuple[list[Row], list[tuple[int, str]]]:
    data = content.encode() if isinstance(content, str) else content
    splitter, parser = LineSplitter(), RowParser("BR")
    rows = parser.parse([*splitter.feed(data), *splitter.flush()])
    return rows, [(rejection.line, rejection.reason) for rejection in parser.rejections.first]


@pytest.mark.parametrize(
    "text",
    [
        E164_NUMBER,
        "11 98765-4321",
        "(11) 98765.4321",
        "5511987654321",
        "011 98765 4321",
        " +55 11 98765 4321 ",
    ],
)
def test_common_notations_are_normalised(text: str) -> None:
    assert normalise_phone(text, "BR") == E164_NUMBER


def test_country_code_of_the_number_is_kept() -> None:
    assert normalise_phone("+351 912 345 678", "BR") == "+351912345678"


@pytest.mark.parametrize(
    "text", ["", " ", "12", "abc", "+55", "+5511", "99999999999999999999", "+5500987654321"]
)
def test_error_of_an_invalid_number_does_not_repeat_it(text: str) -> None:
    with pytest.raises(InvalidPhoneNumberError) as error_info:
        normalise_phone(text, "BR")
    assert not text.strip() or text not in str(error_info.value)


@given(st.text(max_size=40))
def test_normalisation_is_idempotent(text: str) -> None:
    try:
        number = normalise_phone(text, "BR")
    except InvalidPhoneNumberError:
        return
    assert normalise_phone(number, "BR") == number


def test_name_is_one_line_and_truncated() -> None:
    assert normalise_name("  Ana\x00 Maria\t") == "Ana Maria"
    assert len(normalise_name("x" * 500)) == 100


@pytest.mark.parametrize(
    ("line", "columns"),
    [
        ("name,phone", Columns(",", 1, 0, has_header=True)),
        ("Nome;Telefone;Cidade", Columns(";", 1, 0, has_header=True)),
        ("cidade;NÚMERO de Telefone;primeiro nome", Columns(";", 1, 2, has_header=True)),
        ("celular", Columns(",", 0, None, has_header=True)),
        ("id\tphone-number\tname", Columns("\t", 1, 2, has_header=True)),
        (f"Ana,{E164_NUMBER}", Columns(",", 1, 0, has_header=False)),
        ("11987654321", Columns(",", 0, None, has_header=False)),
    ],
)
def test_columns_are_detected_by_name_or_content(line: str, columns: Columns) -> None:
    assert detect_columns(line, "BR") == columns


@pytest.mark.parametrize("line", ["name,city", "hello", '"unfinished,phone'])
def test_first_line_without_a_phone_column_is_invalid(line: str) -> None:
    with pytest.raises(InvalidError):
        detect_columns(line, "BR")


def test_invalid_rows_are_rejected_with_their_line_numbers() -> None:
    rows, rejected = parse(
        f'name,phone\n"Ana, a ""primeira""",{E164_NUMBER}\n\nNinguém,12\nSó nome\n"aberto,{E164_NUMBER}\n'
    )
    assert rows == [Row(E164_NUMBER, 'Ana, a "primeira"')]
    assert rejected == [
        (4, "not a phone number: too short or too long"),
        (5, "the row has no field for the phone number"),
        (6, "a quoted field is not closed on its line"),
    ]


def test_byte_order_mark_and_crlf_are_removed() -> None:
    assert parse(b"\xef\xbb\xbftelefone;nome\r\n11987654321;Jo\xc3\xa3o\r\n") == (
        [Row(E164_NUMBER, "João")],
        [],
    )


def test_file_with_a_first_line_not_in_utf_8_is_invalid() -> None:
    with pytest.raises(InvalidError, match="line 1: not UTF-8"):
        parse("número,nome\n".encode("latin-1"))
    with pytest.raises(InvalidError, match="not UTF-8"):
        parse("phone,name\n".encode("utf-16-be"))


def test_later_line_not_in_utf_8_is_rejected() -> None:
    rows, rejected = parse(b"phone,name\n11987654321,Jo\xe3o\n11987654322,Ana\n")
    assert len(rows) == 1
    assert rejected[0][0] == 2
    assert rejected[0][1].startswith("not UTF-8")


def test_memory_of_an_endless_line_is_bounded() -> None:
    splitter = LineSplitter()
    lines = [line for _ in range(100) for line in splitter.feed(b"x" * 10_000)]
    assert lines == []
    assert len(splitter._incomplete_line) <= MAX_LINE_BYTES
    rest = [*splitter.feed(b"\nphone\n"), *splitter.flush()]
    assert [(line.number, line.text) for line in rest] == [(1, None), (2, b"phone")]


def test_listed_rejections_are_limited_and_all_are_counted() -> None:
    rejections = Rejections()
    for line in range(MAX_LISTED_REJECTIONS + 5):
        rejections.add(line, "no")
    assert (len(rejections.first), rejections.total) == (MAX_LISTED_REJECTIONS, MAX_LISTED_REJECTIONS + 5)


@given(st.binary(max_size=300), st.lists(st.integers(1, 40), max_size=20), st.integers(1, 7))
def test_lines_do_not_depend_on_chunk_boundaries(data: bytes, cuts: Sequence[int], size: int) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        rest = data
        for cut in cuts:
            yield rest[:cut]
            rest = rest[cut:]
        yield rest

    async def collect() -> list[bytes | None]:
        batches = [batch async for batch in split_batches(chunks(), size)]
        assert all(len(batch) <= size for batch in batches)
        return [line.text for batch in batches for line in batch]

    expected = data.split(b"\n")
    if not expected[-1]:
        expected.pop()
    expected = [line.removesuffix(b"\r") for line in expected]
    if expected:
        expected[0] = expected[0].removeprefix(b"\xef\xbb\xbf")
    assert asyncio.run(collect()) == expected


@given(st.binary(max_size=200))
def test_parser_accepts_arbitrary_bytes(data: bytes) -> None:
    try:
        rows, _ = parse(b"phone,name\n" + data)
    except InvalidError:
        return
    assert all(row.phone.startswith("+") for row in rows)


@pytest.mark.parametrize("name", ["", " ", "x" * 101, "a/b", "-a", "a\nb"])
def test_list_name_is_validated(name: str) -> None:
    assert validate_list_name(" Clientes de Março ") == "Clientes de Março"
    with pytest.raises(InvalidError):
        validate_list_name(name)
