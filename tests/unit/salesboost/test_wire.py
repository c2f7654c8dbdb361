"""What travels: canonical payloads, keys, submissions."""

from __future__ import annotations

import hashlib
from types import MappingProxyType
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from salesboost import InputInvalid, wire

TEXT = st.text('aZ0äß€\U0001f600 "\\\n', max_size=5)
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=5,
)


@given(st.dictionaries(TEXT, JSON, max_size=5))
def test_canonical_json_does_not_depend_on_the_order_of_keys(payload: dict[str, Any]) -> None:
    # Given any JSON object
    # When its keys come in another order
    # Then its canonical form is the same, and holds the same
    text = wire.canonical(payload)
    assert wire.canonical(dict(reversed(payload.items()))) == text
    assert orjson.loads(text) == payload


@pytest.mark.parametrize("value", [float("nan"), float("inf"), [1, {"x": float("-inf")}], (None, float("nan"))])
def test_a_number_that_is_none_is_refused_wherever_it_is(value: Any) -> None:
    # Given a payload in which something is not a number
    # When it is encoded
    # Then it is refused, not turned into null
    with pytest.raises(InputInvalid, match="NaN"):
        wire.canonical({"deep": {"value": value}, "nothing": None})


def test_any_mapping_is_a_payload() -> None:
    # Given a read-only mapping
    # When it is encoded
    # Then it is JSON, nulls included
    assert wire.canonical(MappingProxyType({"b": None, "a": 1})) == b'{"a":1,"b":null}'


def test_a_jobs_id_is_made_of_tenant_tool_and_key() -> None:
    # Given the three
    # When the id is computed here
    # Then it is what the server's `sha1hex` computes
    assert wire.job_id("t", "x", "k") == hashlib.sha1(b"t\0x\0k").hexdigest()


def test_defaults_that_are_left_out_make_no_difference_to_the_cache() -> None:
    # Given a schema with a default
    schema = {"properties": {"times": {"default": 1}, "text": {"type": "string"}}}

    # When a payload leaves it out, and one spells it out
    # Then both are one
    assert wire.with_defaults({"text": "x"}, schema) == wire.with_defaults({"text": "x", "times": 1}, schema)


def test_a_cache_key_separates_whatever_may_change_the_answer() -> None:
    # Given one call
    call: dict[str, Any] = {"tool": "t", "version": "1", "payload": b"{}", "tenant": "a", "role": "r"}

    # When anything about it changes
    changes: list[dict[str, Any]] = [
        {"tool": "u"},
        {"version": "2"},
        {"payload": b"[]"},
        {"tenant": "b"},
        {"role": "s"},
        {"tenant": "ar", "role": ""},
    ]
    keys = {wire.cache_key("sb", **(call | change)) for change in [{}, *changes]}

    # Then its key does
    assert len(keys) == 1 + len(changes)


def test_a_submission_travels_as_the_arguments_of_its_function() -> None:
    # Given a submission
    submission = wire.Submission("t", b"{}", "r", "a", "k", deadline=1.5, max_wait=0, inbox="i", batch="b", index=3)

    # When its arguments are made
    # Then they are in the order of `submit_job`, durations in microseconds
    assert submission.arguments() == [
        "t", b"{}", "r", "a", "k", 5, "1500000", "0", "wait", "i", "b", 3, "", "", "", "", "",
    ]  # fmt: skip


def test_a_record_has_a_name_for_each_value() -> None:
    # Given a record as the server lists it
    values = [name.encode() for name in wire.RECORD_FIELDS]

    # When it is read
    # Then each value has its name; one too few is an error
    assert wire.record(values) == {name: name for name in wire.RECORD_FIELDS}
    with pytest.raises(ValueError, match="shorter"):
        wire.record(values[:-1])
