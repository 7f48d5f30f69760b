"""Reading CSV files: columns, lines, rejections, and any way of cutting the stream."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.contacts.domain import NotAPhoneError, checked_list_name, normalise_name, normalise_phone
from services.contacts.reading import (
    LINE_BYTES,
    LISTED_REJECTIONS,
    Columns,
    LineSplitter,
    Rejections,
    Row,
    RowReader,
    batches,
    find_columns,
)
from services.kit.errors import InvalidError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

ANA = "+5511987654321"


def read(content: str | bytes) -> tuple[list[Row], list[tuple[int, str]]]:
    data = content.encode() if isinstance(content, str) else content
    splitter, reader = LineSplitter(), RowReader("BR")
    rows = reader.read([*splitter.feed(data), *splitter.end()])
    return rows, [(one.line, one.reason) for one in reader.rejections.listed]


@pytest.mark.parametrize(
    "text",
    [ANA, "11 98765-4321", "(11) 98765.4321", "5511987654321", "011 98765 4321", " +55 11 98765 4321 "],
)
def test_numbers_as_people_write_them(text: str) -> None:
    assert normalise_phone(text, "BR") == ANA


def test_numbers_of_other_countries_keep_theirs() -> None:
    assert normalise_phone("+351 912 345 678", "BR") == "+351912345678"


@pytest.mark.parametrize(
    "text", ["", " ", "12", "abc", "+55", "+5511", "99999999999999999999", "+5500987654321"]
)
def test_what_is_no_number_is_told_without_repeating_it(text: str) -> None:
    with pytest.raises(NotAPhoneError) as told:
        normalise_phone(text, "BR")
    assert not text.strip() or text not in str(told.value)


@given(st.text(max_size=40))
def test_no_text_breaks_normalisation(text: str) -> None:
    try:
        number = normalise_phone(text, "BR")
    except NotAPhoneError:
        return
    assert normalise_phone(number, "BR") == number


def test_names_are_one_line_and_bounded() -> None:
    assert normalise_name("  Ana\x00 Maria\t") == "Ana Maria"
    assert len(normalise_name("x" * 500)) == 100


@pytest.mark.parametrize(
    ("line", "columns"),
    [
        ("name,phone", Columns(",", 1, 0, headed=True)),
        ("Nome;Telefone;Cidade", Columns(";", 1, 0, headed=True)),
        ("cidade;NÚMERO de Telefone;primeiro nome", Columns(";", 1, 2, headed=True)),
        ("celular", Columns(",", 0, None, headed=True)),
        ("id\tphone-number\tname", Columns("\t", 1, 2, headed=True)),
        (f"Ana,{ANA}", Columns(",", 1, 0, headed=False)),
        ("11987654321", Columns(",", 0, None, headed=False)),
    ],
)
def test_columns_by_headings_or_by_content(line: str, columns: Columns) -> None:
    assert find_columns(line, "BR") == columns


@pytest.mark.parametrize("line", ["name,city", "hello", '"unfinished,phone'])
def test_a_first_line_without_a_number_column_is_refused(line: str) -> None:
    with pytest.raises(InvalidError):
        find_columns(line, "BR")


def test_rows_are_read_and_others_rejected_with_their_line() -> None:
    rows, rejected = read(f'name,phone\n"Ana, a ""primeira""",{ANA}\n\nNinguém,12\nSó nome\n"aberto,{ANA}\n')
    assert rows == [Row(ANA, 'Ana, a "primeira"')]
    assert rejected == [
        (4, "not a phone number: too short or too long"),
        (5, "the row has no field for the phone number"),
        (6, "a quoted field does not end on its line"),
    ]


def test_byte_order_mark_and_crlf_are_no_content() -> None:
    assert read(b"\xef\xbb\xbftelefone;nome\r\n11987654321;Jo\xc3\xa3o\r\n") == ([Row(ANA, "João")], [])


def test_a_file_that_begins_in_latin_1_is_refused_whole() -> None:
    with pytest.raises(InvalidError, match="line 1: not UTF-8"):
        read("número,nome\n".encode("latin-1"))
    with pytest.raises(InvalidError, match="not UTF-8"):
        read("phone,name\n".encode("utf-16-be"))


def test_a_line_that_is_not_utf_8_is_rejected_alone() -> None:
    rows, rejected = read(b"phone,name\n11987654321,Jo\xe3o\n11987654322,Ana\n")
    assert len(rows) == 1
    assert rejected[0][0] == 2
    assert rejected[0][1].startswith("not UTF-8")


def test_a_line_without_end_takes_no_memory() -> None:
    splitter = LineSplitter()
    lines = [line for _ in range(100) for line in splitter.feed(b"x" * 10_000)]
    assert lines == []
    assert len(splitter._rest) <= LINE_BYTES
    rest = [*splitter.feed(b"\nphone\n"), *splitter.end()]
    assert [(line.number, line.text) for line in rest] == [(1, None), (2, b"phone")]


def test_rejections_are_bounded_and_counted() -> None:
    rejections = Rejections()
    for line in range(LISTED_REJECTIONS + 5):
        rejections.add(line, "no")
    assert (len(rejections.listed), rejections.total) == (LISTED_REJECTIONS, LISTED_REJECTIONS + 5)


@given(st.binary(max_size=300), st.lists(st.integers(1, 40), max_size=20), st.integers(1, 7))
def test_however_the_stream_is_cut_the_lines_are_the_same(
    data: bytes, cuts: Sequence[int], size: int
) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        rest = data
        for cut in cuts:
            yield rest[:cut]
            rest = rest[cut:]
        yield rest

    async def collect() -> list[bytes | None]:
        groups = [group async for group in batches(chunks(), size)]
        assert all(len(group) <= size for group in groups)
        return [line.text for group in groups for line in group]

    expected = data.split(b"\n")
    if not expected[-1]:
        expected.pop()
    expected = [line.removesuffix(b"\r") for line in expected]
    if expected:
        expected[0] = expected[0].removeprefix(b"\xef\xbb\xbf")
    assert asyncio.run(collect()) == expected


@given(st.binary(max_size=200))
def test_no_bytes_break_the_reader(data: bytes) -> None:
    try:
        rows, _ = read(b"phone,name\n" + data)
    except InvalidError:
        return
    assert all(row.phone.startswith("+") for row in rows)


@pytest.mark.parametrize("name", ["", " ", "x" * 101, "a/b", "-a", "a\nb"])
def test_names_of_lists(name: str) -> None:
    assert checked_list_name(" Clientes de Março ") == "Clientes de Março"
    with pytest.raises(InvalidError):
        checked_list_name(name)
