"""Runs and pages of datasets over HTTP: what a page is, what is tried again, what is given up."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from viral_platform.engine.errors import ConfigurationError, ProviderError
from viral_platform.providers.apify_datasets import ApifyDatasets, _elements
from viral_platform.providers.calls import Waits
from viral_platform.sandbox.stand_ins import Fault, StandIn

AT_ONCE = Waits(first=0.0, factor=1.0, jitter=0.0)


def _reader(**options: object) -> ApifyDatasets:
    given = {"token": "token", "base_url": "http://apify.invalid", "waits": AT_ONCE, **options}
    return ApifyDatasets(**given)  # type: ignore[arg-type]


@pytest.fixture
def apify(stand_in: StandIn) -> Iterator[ApifyDatasets]:
    reader = _reader(base_url=stand_in.base_url, page_items=40)
    yield reader
    reader.close()


def _answering(answer: Callable[[httpx.Request], httpx.Response]) -> ApifyDatasets:
    return _reader(transport=httpx.MockTransport(answer), page_items=10)


def _page(items: object, total: int, count: int | None = None) -> httpx.Response:
    headers = {"x-apify-pagination-total": str(total)}
    if count is not None:
        headers["x-apify-pagination-count"] = str(count)
    return httpx.Response(200, content=json.dumps(items), headers=headers)


def test_pages_cover_a_dataset_once_and_end_with_an_empty_one(
    stand_in: StandIn, apify: ApifyDatasets
) -> None:
    run = stand_in.dataset(100, seed=5)
    offset, pages = 0, []
    while (page := apify.page(run.dataset_id, offset)).next_offset > offset:
        pages.append(page)
        offset = page.next_offset
    assert [len(page.items) for page in pages] == [40, 40, 20]
    assert [json.loads(item) for page in pages for item in page.items] == [
        run.dataset.item(k) for k in range(100)
    ]
    assert {page.total for page in pages} == {100}
    assert all(page.body_bytes > 40_00 for page in pages)


def test_a_run_is_read_with_its_status_cost_and_start(
    stand_in: StandIn, apify: ApifyDatasets
) -> None:
    started = datetime(2026, 3, 2, 6, tzinfo=UTC)
    one = stand_in.dataset(1, status="TIMED-OUT", usd=0.3, started_at=started)
    run = apify.run(one.id)
    assert (run.id, run.dataset_id, run.status) == (one.id, one.dataset_id, "TIMED-OUT")
    assert (run.started_at, run.microdollars, run.is_under_way) == (started, 300_000, False)
    (call,) = stand_in.calls("apify")
    assert call.key == "token"
    assert "token" not in call.path


def test_a_run_whose_figures_are_no_figures_is_still_a_run() -> None:
    run = {"id": "a", "status": "READY", "defaultDatasetId": "b", "usageTotalUsd": "x"}
    read = _answering(lambda _: httpx.Response(200, json={"data": run})).run("a")
    assert read.microdollars is None
    assert read.started_at is None
    assert read.is_under_way


@pytest.mark.parametrize(
    ("fault", "options"),
    [
        (Fault.RATE_LIMITED, {"retry_after": 0}),
        (Fault.SERVER_ERROR, {}),
        (Fault.RESET, {}),
        (Fault.GARBAGE, {}),
    ],
)
def test_a_page_that_fails_is_asked_for_again(
    stand_in: StandIn, apify: ApifyDatasets, fault: Fault, options: dict[str, object]
) -> None:
    run = stand_in.dataset(3)
    stand_in.fail("apify", fault, times=2, operation="items", **options)
    assert len(apify.page(run.dataset_id, 0).items) == 3
    assert len(stand_in.calls("apify", "items")) == 3


def test_garbage_that_stays_is_given_up_with_its_reason(
    stand_in: StandIn, apify: ApifyDatasets
) -> None:
    run = stand_in.dataset(3)
    stand_in.fail("apify", Fault.GARBAGE, operation="items")
    with pytest.raises(ProviderError, match="not_json"):
        apify.page(run.dataset_id, 0)
    assert len(stand_in.calls("apify", "items")) == 4


def test_what_cannot_help_is_not_asked_again(stand_in: StandIn, apify: ApifyDatasets) -> None:
    with pytest.raises(ProviderError, match="record-not-found") as caught:
        apify.run("nosuchrun")
    assert caught.value.reason == "not_found"
    stand_in.fail("apify", Fault.UNAUTHORIZED)
    with pytest.raises(ProviderError, match="unauthorized"):
        apify.run("nosuchrun")
    assert len(stand_in.calls("apify")) == 2


def test_a_server_that_hangs_is_given_up(stand_in: StandIn) -> None:
    run = stand_in.dataset(3)
    stand_in.fail("apify", Fault.HANG, operation="items")
    reader = _reader(base_url=stand_in.base_url, read_seconds=0.05)
    with pytest.raises(ProviderError) as caught:
        reader.page(run.dataset_id, 0)
    assert caught.value.reason == "timeout"
    reader.close()


def test_rows_that_the_server_left_out_are_passed_over_and_end_nothing() -> None:
    page = _answering(lambda _: _page([{"id": 1}], total=25, count=10)).page("d", 10)
    assert (len(page.items), page.next_offset) == (1, 20)
    page = _answering(lambda _: _page([], total=25, count=5)).page("d", 20)
    assert (page.items, page.next_offset) == ([], 25)


def test_a_total_that_lags_behind_the_items_skips_none() -> None:
    page = _answering(lambda _: _page([{"id": k} for k in range(10)], total=4)).page("d", 0)
    assert page.next_offset == 10


def test_items_that_are_missing_before_the_end_are_no_end() -> None:
    with pytest.raises(ProviderError, match="no item at 11 of 25"):
        _answering(lambda _: _page([], total=25)).page("d", 10)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (httpx.Response(200, content=b"[]"), "schema"),
        (httpx.Response(200, content=b"[]", headers={"x-apify-pagination-total": "-3"}), "schema"),
        (_page({"id": 1}, total=1), "schema"),
        (httpx.Response(200, content=b'[{"a": 1}'), "not_json"),
        (httpx.Response(200, content=b'[{"a": NaN}] more'), "not_json"),
    ],
    ids=["no total", "a negative total", "no list", "cut off", "more behind it"],
)
def test_what_is_no_page_is_refused(answer: httpx.Response, reason: str) -> None:
    with pytest.raises(ProviderError) as caught:
        _answering(lambda _: answer).page("d", 0)
    assert caught.value.reason == reason


def test_a_page_too_long_to_hold_is_asked_for_in_parts() -> None:
    asked = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(int(request.url.params["limit"]))
        return _page([{"text": "x" * 500}] * asked[-1], total=1_000)

    transport = httpx.MockTransport(answer)
    page = _reader(transport=transport, page_items=100, page_bytes=5_000).page("d", 0)
    assert asked == [100, 25, 6]
    assert page.next_offset == 6
    with pytest.raises(ProviderError, match="item 8 is over"):
        _reader(transport=transport, page_bytes=300).page("d", 7)


def test_a_token_that_no_header_takes_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="APIFY_TOKEN"):
        _reader(token="two\nlines")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


@given(st.lists(JSON, max_size=5), st.sampled_from([None, 1]), st.booleans())
def test_an_array_is_cut_into_its_elements_whatever_they_are(
    items: list[object], indent: int | None, as_ascii: bool
) -> None:
    """NaN and lone surrogates are none of JSON, but they come; they must not cost their page."""
    whole = [*items, float("nan"), "\ud800"]
    body = json.dumps(whole, indent=indent, ensure_ascii=True).encode()
    assert [json.dumps(json.loads(one)) for one in _elements(body)] == [
        json.dumps(one) for one in whole
    ]
    kept = [one for one in items if "NaN" not in (text := json.dumps(one)) and "Inf" not in text]
    if not any(code in json.dumps(kept) for code in ("\\ud", "\\uD")):
        clean = json.dumps(kept, indent=indent, ensure_ascii=as_ascii).encode()
        assert [json.loads(one) for one in _elements(clean)] == kept
