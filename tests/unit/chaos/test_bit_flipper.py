"""The bit flip: one bit, and never a second one in data that has changed since."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from chaos import bit_flipper

if TYPE_CHECKING:
    from pathlib import Path

DATA = bytes(range(256)) * 4


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "small").write_bytes(b"x")
    (tmp_path / "large").write_bytes(DATA)
    return tmp_path / "large"


def test_flips_one_bit_of_the_largest_file_and_back(file: Path) -> None:
    name, offset, digest = bit_flipper.locate([str(file.with_name("s*")), str(file.with_name("l*"))])
    assert (name, offset) == (str(file), len(DATA) // 2)
    assert bit_flipper.main("flip", name, str(offset), digest) == 0
    damaged = file.read_bytes()
    assert [index for index, byte in enumerate(DATA) if damaged[index] != byte] == [offset]
    assert damaged[offset] ^ DATA[offset] == 1
    for _ in range(2):
        assert bit_flipper.main("restore", name, str(offset), digest) == 0
        assert file.read_bytes() == DATA


def test_changed_data_is_not_touched(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    name, offset, digest = bit_flipper.locate([str(file)])
    replaced = bytes(len(DATA))
    file.write_bytes(replaced)
    assert bit_flipper.main("flip", name, str(offset), digest) == 1
    assert "has changed" in capsys.readouterr().err
    assert bit_flipper.main("restore", name, str(offset), digest) == 0
    assert file.read_bytes() == replaced


def test_restore_of_a_deleted_file_does_nothing(file: Path) -> None:
    name, offset, digest = bit_flipper.locate([str(file)])
    file.unlink()
    assert bit_flipper.main("restore", name, str(offset), digest) == 0
    assert not file.exists()


def test_place_in_a_kafka_log_is_the_end_of_its_first_batch(tmp_path: Path) -> None:
    """A later batch may be written at the same time."""
    length = 100
    batch = bytes(8) + length.to_bytes(4, "big") + bytes(length)
    (tmp_path / "0.log").write_bytes(batch * 3)
    assert bit_flipper.locate([str(tmp_path / "*.log")])[1] == len(batch) - 1


def test_no_data_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    with pytest.raises(FileNotFoundError, match="no file with data"):
        bit_flipper.locate([str(tmp_path / "*")])
