"""Meaning of responses of the Cloud API, and of intermediaries."""

from __future__ import annotations

import json
from typing import Any

import pytest

from services.whatsapp.adapters.cloud_api_sender import MAX_REASON_LENGTH, parse_response
from services.whatsapp.domain.sending import Accepted, NotSent, Rejected, SendOutcome, Unknown


def outcome(status: int, document: Any) -> SendOutcome:
    return parse_response(status, json.dumps(document).encode())


def test_message_id_means_accepted() -> None:
    assert outcome(200, {"messages": [{"id": "wamid.1"}]}) == Accepted("wamid.1")


@pytest.mark.parametrize("status", [200, 400, 401, 429, 500, 503])
def test_error_code_is_definite_with_any_status(status: int) -> None:
    error = {"message": "(#130429) Rate limit hit", "code": 130429, "error_data": {"details": "slow"}}
    assert outcome(status, {"error": error}) == Rejected(130429, "(#130429) Rate limit hit: slow")


def test_error_data_may_be_plain_text() -> None:
    error = {"code": 100, "message": "bad", "error_data": "to"}
    assert outcome(400, {"error": error}) == Rejected(100, "bad: to")


def test_reason_is_truncated() -> None:
    rejected = outcome(400, {"error": {"code": 100, "message": "x" * 10_000}})
    assert isinstance(rejected, Rejected)
    assert len(rejected.reason) == MAX_REASON_LENGTH


@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_gateway_error_is_unknown(status: int) -> None:
    assert isinstance(parse_response(status, b"<html>Bad gateway</html>"), Unknown)


def test_client_error_of_an_intermediary_means_not_sent() -> None:
    assert isinstance(outcome(404, {"detail": "Not Found"}), NotSent)


@pytest.mark.parametrize("document", [{}, {"messages": []}, {"messages": [{}]}, [], {"error": {"code": "x"}}])
def test_success_without_message_id_is_unknown(document: Any) -> None:
    assert isinstance(outcome(200, document), Unknown)
