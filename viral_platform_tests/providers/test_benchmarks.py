from __future__ import annotations

import json
import tempfile
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from viral_platform.providers.benchmarks import (
    PACKAGED,
    Benchmarks,
    Differentiator,
    Percentiles,
    load_benchmarks,
)

FULL: dict[str, Any] = {
    "primary_kpis": {
        "share_rate": {
            "percentiles": {"p50": 0.01, "p75": 0.02, "p90": 0.03},
            "viral_threshold": 0.04,
        },
        "comment_rate": {"percentiles": {"p50": 0.001, "p75": 0.002, "p90": 0.003}},
        "save_rate": {"percentiles": {"p50": 0, "p75": 0.5, "p90": 1}},
        "weighted_engagement_score": {"percentiles": {"p90": 0.3}},
    },
    "viral_vs_average": {
        "differentiators": [
            {"factor": "caption_length", "difference_pct": -33, "description": "shorter"},
            {"factor": "weighted_engagement_score", "difference_pct": 704, "description": "x"},
            {"factor": "share_to_like_ratio", "difference_pct": 266, "description": "x"},
            {"factor": "comment_rate", "difference_pct": 1255, "description": "more comments"},
            {"factor": "broken", "difference_pct": "many"},
            "no object",
        ]
    },
    "duration_analysis": {
        "sweet_spot_by_weighted_score": {"optimal_range_seconds": [20, 30]},
    },
}
LEAVES = [
    "primary_kpis.share_rate.percentiles.p50",
    "primary_kpis.share_rate.viral_threshold",
    "primary_kpis.comment_rate.percentiles.p90",
    "primary_kpis.weighted_engagement_score.percentiles.p90",
    "viral_vs_average.differentiators",
    "duration_analysis.sweet_spot_by_weighted_score.optimal_range_seconds",
]


def loaded(tmp_path: Path, document: object) -> tuple[Benchmarks, list[str]]:
    path = tmp_path / "baseline.json"
    path.write_text(json.dumps(document))
    with capture_logs() as logs:
        benchmarks = load_benchmarks(path)
    missing = [name for entry in logs for name in entry["packaged_instead"]]
    return benchmarks, missing


def changed(leaf: str, value: object) -> dict[str, Any]:
    document = json.loads(json.dumps(FULL))
    *way, last = leaf.split(".")
    inner = document
    for key in way:
        inner = inner[key]
    if value is None:
        del inner[last]
    else:
        inner[last] = value
    return document


def test_without_a_file_the_packaged_figures_hold() -> None:
    assert load_benchmarks(None) is PACKAGED


def test_no_packaged_differentiator_is_the_outcome_or_a_ratio_of_its_parts() -> None:
    names = [one.factor for one in PACKAGED.differentiators]
    assert names[:3] == ["comment_rate", "share_rate", "like_rate"]
    assert not [name for name in names if name.startswith("weighted") or name.endswith("_ratio")]


def test_a_whole_file_is_taken_over(tmp_path: Path) -> None:
    benchmarks, missing = loaded(tmp_path, FULL)
    assert missing == []
    assert benchmarks == Benchmarks(
        share_rate=Percentiles(0.01, 0.02, 0.03),
        comment_rate=Percentiles(0.001, 0.002, 0.003),
        save_rate=Percentiles(0.0, 0.5, 1.0),
        viral_share_threshold=0.04,
        weighted_engagement_p90=0.3,
        sweet_spot_seconds=(20.0, 30.0),
        differentiators=(
            Differentiator("comment_rate", 1255.0, "more comments"),
            Differentiator("caption_length", -33.0, "shorter"),
        ),
    )


@pytest.mark.parametrize("leaf", LEAVES)
@pytest.mark.parametrize("value", [None, "0.01", True, -1, 10**400, 1e9, [], {}, [30, 20], [1]])
def test_one_figure_that_cannot_be_used_falls_back_alone(
    tmp_path: Path, leaf: str, value: object
) -> None:
    benchmarks, missing = loaded(tmp_path, changed(leaf, value))
    assert missing[0] == leaf
    whole, _ = loaded(tmp_path, FULL)
    differing = [
        field.name
        for field in fields(Benchmarks)
        if getattr(benchmarks, field.name) != getattr(whole, field.name)
    ]
    assert len(differing) == 1


def test_percentiles_that_do_not_rise_fall_back_together(tmp_path: Path) -> None:
    benchmarks, missing = loaded(
        tmp_path, changed("primary_kpis.share_rate.percentiles.p50", 0.025)
    )
    assert benchmarks.share_rate == PACKAGED.share_rate
    assert missing == ["primary_kpis.share_rate.percentiles"]


def test_a_weighted_score_out_of_100_is_not_taken_for_a_ratio(tmp_path: Path) -> None:
    leaf = "primary_kpis.weighted_engagement_score.percentiles.p90"
    benchmarks, missing = loaded(tmp_path, changed(leaf, 85))
    assert benchmarks.weighted_engagement_p90 == PACKAGED.weighted_engagement_p90
    assert missing == [leaf]


def test_a_file_that_is_missing_gives_the_packaged_figures_and_one_warning(
    tmp_path: Path,
) -> None:
    path = tmp_path / "none.json"
    with capture_logs() as logs:
        assert load_benchmarks(path) == load_benchmarks(path) == PACKAGED
    assert [(entry["event"], entry["path"]) for entry in logs] == [
        ("benchmarks_incomplete", str(path))
    ]


def test_a_folder_and_a_path_that_cannot_be_are_no_file(tmp_path: Path) -> None:
    assert load_benchmarks(tmp_path) == PACKAGED
    assert load_benchmarks(Path("a\0b")) == PACKAGED


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@given(st.binary() | st.builds(lambda one: json.dumps(one).encode(), JSON))
def test_any_content_of_a_file_gives_figures(content: bytes) -> None:
    with tempfile.NamedTemporaryFile(suffix=".json") as file:
        Path(file.name).write_bytes(content)
        assert load_benchmarks(Path(file.name)) == PACKAGED


@given(leaf=st.sampled_from(LEAVES), value=JSON)
def test_any_figure_leaves_the_others_alone_and_percentiles_in_order(
    leaf: str, value: object
) -> None:
    with tempfile.NamedTemporaryFile(suffix=".json") as file:
        Path(file.name).write_text(json.dumps(changed(leaf, value)))
        benchmarks = load_benchmarks(Path(file.name))
    assert benchmarks.save_rate == Percentiles(0.0, 0.5, 1.0)
    for rate in (benchmarks.share_rate, benchmarks.comment_rate):
        assert 0 <= rate.p50 <= rate.p75 <= rate.p90 <= 1
    low, high = benchmarks.sweet_spot_seconds
    assert 0 <= low <= high
    assert benchmarks.differentiators
