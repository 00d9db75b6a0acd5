from __future__ import annotations

import pytest

from viral_platform.observability.scrubbing import MASK, scrub_text, scrub_value


@pytest.mark.parametrize(
    "text",
    [
        "postgresql://viral:hunter2@db:5432/viral",
        "postgresql://:hunter2@db/viral",
        "Authorization: Bearer hunter2",
        "authorization: bearer hunter2",
        "GET /v2/acts?token=hunter2&limit=5",
        "APIFY_TOKEN=hunter2",
        "api_key: hunter2",
        "apikey=hunter2",
        "password = 'hunter2'",
        'password="hunter2"',
        '{"client_secret": "hunter2"}',
        "{'passwd': 'hunter2'}",
        "SENTRY_DSN=https://hunter2@sentry/1",
    ],
)
def test_a_secret_in_a_text_is_masked(text: str) -> None:
    """A value in quotes after '=' or ':' was left as it was."""
    scrubbed = scrub_text(text)
    assert "hunter2" not in scrubbed
    assert MASK in scrubbed


@pytest.mark.parametrize(
    "text",
    [
        "postgresql://db:5432/viral",
        "https://www.tiktok.com/@some.creator/video/7",
        "the password is asked for",
        "fitted on 150 pairs: ECE 0.031",
        "",
    ],
)
def test_a_text_without_secrets_stays(text: str) -> None:
    assert scrub_text(text) == text


def test_what_stands_beside_a_secret_stays() -> None:
    assert scrub_text("token=hunter2&limit=5") == f"token={MASK}&limit=5"


def test_secrets_are_masked_at_any_depth_of_a_value() -> None:
    value = {"run": {"token": "hunter2", "steps": ["password=hunter2", ("a", "b")]}, "n": 1}
    assert scrub_value(value) == {
        "run": {"token": MASK, "steps": [f"password={MASK}", ["a", "b"]]},
        "n": 1,
    }


def test_a_count_under_a_secret_sounding_name_stays() -> None:
    assert scrub_value({"output_tokens": 12, "token": None}) == {"output_tokens": 12, "token": None}


def test_private_keys_are_masked_whatever_their_case() -> None:
    value = {"Caption": "a calm river", "note": "stays"}
    assert scrub_value(value, private=frozenset({"caption"})) == {"Caption": MASK, "note": "stays"}
