"""The table of statuses has a line for everything that can go wrong."""

import json

import pytest

from service import errors
from service.errors import RecurError
from service.protocols.reply import to_json
from service.protocols.status import (
    STATUS,
    InternalError,
    MethodNotAllowed,
    error_body,
    error_headers,
    status_of,
)


def subclasses(base: type[RecurError]) -> set[type[RecurError]]:
    return {base}.union(*(subclasses(child) for child in base.__subclasses__()))


def an_error(kind: type[RecurError]) -> RecurError:
    if kind is errors.ArtifactError:
        return errors.ArtifactError("odd", file="model.onnx")
    return kind("odd")


@pytest.mark.parametrize("kind", sorted(subclasses(RecurError), key=lambda kind: kind.__name__))
def test_every_error_has_a_status_of_its_own_family(kind: type[RecurError]):
    status = status_of(an_error(kind))
    assert 400 <= status <= 599
    assert (status < 500) == (issubclass(kind, errors.ClientError | errors.Cancelled))
    if kind not in (RecurError, InternalError):
        assert any(base in STATUS for base in kind.__mro__[:-3])


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (errors.MalformedRequest(""), 400),
        (errors.Unauthenticated(""), 401),
        (errors.ModelNotFound(""), 404),
        (errors.SessionNotFound(""), 404),
        (MethodNotAllowed(""), 405),
        (errors.SessionExists(""), 409),
        (errors.StepMismatch(""), 409),
        (errors.SessionExpired(""), 410),
        (errors.TooLarge(""), 413),
        (errors.StateNotFinite(""), 422),
        (errors.ModelHasNoState(""), 422),
        (errors.TooManySessions(""), 429),
        (errors.ModelFailed(""), 500),
        (errors.Draining(""), 503),
        (errors.DeadlineExceeded(""), 504),
    ],
)
def test_statuses_are_those_of_the_contract(error: RecurError, status: int):
    assert status_of(error) == status


def test_a_body_says_what_who_where_and_how_much():
    error = errors.SessionExists("taken", param="session_id", details={"limit": 3})
    assert error_body(error) == {
        "error": {
            "message": "taken",
            "type": "conflict_error",
            "code": "session_exists",
            "param": "session_id",
            "details": {"limit": 3},
        }
    }


def test_retry_after_is_whole_seconds_and_never_zero():
    assert error_headers(errors.QueueFull("", retry_after_seconds=2.1)) == {"Retry-After": "3"}
    assert error_headers(errors.Starting("", retry_after_seconds=0.0)) == {"Retry-After": "1"}


def test_numbers_that_json_lacks_become_null():
    assert to_json({"a": float("nan"), "b": float("inf")}) == b'{"a":null,"b":null}'


def test_details_may_hold_anything():
    error = errors.InvalidInput("odd", details={"expected": int, "limit": 1.5})
    assert json.loads(to_json(error_body(error)))["error"]["details"]["limit"] == 1.5
