"""What an answer of the Cloud API means, and what one of something in between means."""

from __future__ import annotations

import json
from typing import Any

import pytest

from services.whatsapp.adapters.cloud_engine import LONGEST_REASON, read_answer
from services.whatsapp.domain import Accepted, NotReached, Refused, Unknown


def answer(status: int, document: Any) -> object:
    return read_answer(status, json.dumps(document).encode())


def test_a_message_id_is_acceptance() -> None:
    assert answer(200, {"messages": [{"id": "wamid.1"}]}) == Accepted("wamid.1")


@pytest.mark.parametrize("status", [200, 400, 401, 429, 500, 503])
def test_an_error_code_of_the_api_is_definite_whatever_the_status(status: int) -> None:
    error = {"message": "(#130429) Rate limit hit", "code": 130429, "error_data": {"details": "slow"}}
    assert answer(status, {"error": error}) == Refused(130429, "(#130429) Rate limit hit: slow")


def test_error_data_may_be_a_plain_text() -> None:
    assert answer(400, {"error": {"code": 100, "message": "bad", "error_data": "to"}}) == Refused(
        100, "bad: to"
    )


def test_the_reason_is_bounded() -> None:
    refused = answer(400, {"error": {"code": 100, "message": "x" * 10_000}})
    assert isinstance(refused, Refused)
    assert len(refused.reason) == LONGEST_REASON


@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_a_gateways_error_may_stand_for_a_message_that_arrived(status: int) -> None:
    assert isinstance(read_answer(status, b"<html>Bad gateway</html>"), Unknown)


def test_a_refusal_by_something_else_never_reached_the_api() -> None:
    assert isinstance(answer(404, {"detail": "Not Found"}), NotReached)


@pytest.mark.parametrize("document", [{}, {"messages": []}, {"messages": [{}]}, [], {"error": {"code": "x"}}])
def test_a_success_without_message_id_is_unknown(document: Any) -> None:
    assert isinstance(answer(200, document), Unknown)
