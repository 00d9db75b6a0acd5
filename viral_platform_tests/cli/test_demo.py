"""The whole platform once, as a newcomer runs it, and the commands on what it leaves behind."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from viral_platform.cli.demo import _told_checks
from viral_platform.storage import embedded

pytestmark = pytest.mark.slow

VIRAL = Path(sys.executable).with_name("viral")


@dataclass(frozen=True)
class Installation:
    """A home with a finished demo, and how to run commands on it."""

    home: Path
    summary: dict[str, Any]

    def viral(self, *words: str, code: int = 0) -> Any:
        """Run a command with --json and return its document; `code` is the expected exit code."""
        return _run(self.home, *words, code=code)


def _run(home: Path, *words: str, code: int = 0) -> Any:
    done = subprocess.run(
        [str(VIRAL), *words, "--json"],
        env={**os.environ, "VIRAL_HOME": str(home)},
        capture_output=True,
        text=True,
        timeout=480,
        check=False,
    )
    assert done.returncode == code, done.stderr[-3000:]
    return json.loads(done.stdout) if done.stdout else done.stderr


@pytest.fixture(scope="module")
def demo() -> Iterator[Installation]:
    home = Path(tempfile.mkdtemp(prefix="viral-demo-"))
    yield Installation(home, _run(home, "demo", "--sandbox"))
    embedded.stop_server(home)
    shutil.rmtree(home, ignore_errors=True)


def test_every_run_of_the_demo_succeeds_and_its_checks_are_listed(demo: Installation) -> None:
    assert demo.summary["runs_failed"] == []
    assert demo.summary["checks_passed"] > 50
    assert demo.summary["data"] == "SIMULATED"


def test_the_demo_leaves_a_champion_that_earned_its_verdict(demo: Installation) -> None:
    shown = demo.viral("model", "show")
    assert shown["status"] == "champion"
    assert shown["simulated"]
    settled = shown["report"]["horizons"]["settled"]
    assert settled["verdict"]["served"]
    assert settled["accuracy"]["value"] >= 0.6
    assert settled["baselines"]["persistence_accuracy"] is not None
    (listed,) = demo.viral("model", "list")
    assert listed["version"] == shown["version"]


def test_the_demo_puts_a_calibration_in_force_that_was_judged_on_other_pairs(
    demo: Installation,
) -> None:
    (fit,) = demo.viral("calibration", "show")
    assert fit["status"] == "in_force"
    assert fit["verdict"]["n_fit"] >= 50
    assert fit["verdict"]["n_judge"] >= 100
    assert fit["verdict"]["ece"] <= 0.15


def test_its_three_answers_cover_the_horizons_and_are_labelled_simulated(
    demo: Installation,
) -> None:
    answers = demo.summary["answers"]
    assert [a["horizon"] for a in answers] == ["pre_publication", "early", "settled"]
    assert all(a["simulated"] and not a["degraded"] for a in answers)
    before, _, settled = answers
    assert before["tier_probabilities"] is None
    assert before["interval"] is not None
    assert sum(settled["tier_probabilities"].values()) == pytest.approx(1, abs=1e-5)


def test_in_the_sandbox_its_answers_have_all_five_signals_with_records_and_costs(
    demo: Installation,
) -> None:
    signals = ("behavioral_score", "gemini_score", "ml_score", "rule_score", "trend_score")
    for answer in demo.summary["answers"]:
        assert all(answer[name] is not None for name in signals)
        assert answer["score_weights"]["behavioral"] == 0.35
        assert all(factor["evidence"] for factor in answer["factors"])
        assert answer["suggestions"]
        stages = {stage["stage"]: stage for stage in answer["stages"]}
        assert {"gemini", "rule_judge", "deepseek"} <= stages.keys()
        assert sum(stage["cost_cents"] for stage in stages.values()) == pytest.approx(
            answer["cost_cents"]
        )
    spent = demo.viral("costs", "--days", "2")
    assert {(row["provider"], row["model"]) for row in spent} == {
        ("gemini", "gemini-2.5-flash"),
        ("deepseek", "deepseek-flash"),
    }
    answers = [*demo.summary["answers"], demo.summary["trace"]["prediction"]]
    assert sum(float(row["total_cost_cents"]) for row in spent) == pytest.approx(
        sum(answer["cost_cents"] for answer in answers)
    )


def test_one_video_is_traced_from_the_dataset_to_an_answer_over_http(demo: Installation) -> None:
    trace = demo.summary["trace"]
    item, row, mart = trace["dataset_item"], trace["inbox_row"], trace["mart_row"]
    assert item["position"] >= 1
    assert row["event_type"] == "ACTOR.RUN.SUCCEEDED"
    assert row["received_at"] < row["processed_at"]
    runs = {trace[f"{name}_run_id"] for name in ("scrape", "ingest", "trends")}
    assert len(runs) == 3
    # The file of the last crawl, and six hours later the data set.
    assert [shot["crawled_at"][:13] for shot in trace["snapshots"]][-2:] == [
        "2026-02-06T00",
        "2026-02-06T06",
    ]
    assert trace["snapshots"][-1]["views"] == item["views"]
    assert mart["window_end"] == trace["snapshots"][-1]["crawled_at"]
    assert mart["velocity_score"] is not None
    assert trace["prediction"]["sound_key"] == mart["sound_key"]
    assert trace["prediction"]["velocity_score"] == mart["velocity_score"]


def test_trends_name_their_window_and_come_from_snapshots(demo: Installation) -> None:
    sounds = demo.viral("trends", "sounds", "--limit", "20")
    assert len(sounds) == 20
    assert all(row["window_start"] < row["window_end"] for row in sounds)
    assert all(row["is_simulated"] for row in sounds)
    assert any(row["trend_phase"] != "insufficient_data" for row in sounds)


def test_a_single_prediction_answers_with_id_and_reasons(demo: Installation) -> None:
    answer = demo.viral("predict", "--text", "Stop! The secret nobody tells you? Save this #fyp")
    assert answer["id"]
    assert 0 <= answer["overall_score"] <= 100
    assert answer["is_calibrated"]
    assert answer["matched_rules"]
    assert answer["suggestions"]
    assert answer["gemini_score"] is None


def test_a_change_is_answered_by_the_served_model(demo: Installation) -> None:
    text = ("--text", "Is this the calmest river of all?", "--duration", "30")
    found = demo.viral("predict", *text, "--what-if", "hashtags=+2", "--what-if", "duration=-10")
    assert found["changes"] == "hashtags=+2, duration=-10"
    assert found["before"]["interval"] is not None
    assert found["difference"] is not None
    assert "as in hashtags=-2" in demo.viral("predict", *text, "--what-if", "views=3", code=3)


def test_what_moves_the_model_is_told_on_request(demo: Installation) -> None:
    answer = demo.viral("predict", "--text", "Is this the calmest river of all?", "--explain")
    assert answer["attributions"]


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("--text", "short"), "text_too_short"),
        (("--url", "http://www.tiktok.com/@a/video/7301234567890123456"), "url_not_https"),
        (("--url", "https://tiktok.com.example/@a/video/7301234567890123456"), "url_host"),
        (("--video", "none.mp4"), "video_missing"),
    ],
)
def test_a_content_that_breaks_a_rule_is_refused_with_its_code(
    demo: Installation, words: tuple[str, ...], code: str
) -> None:
    assert f"{code}: " in demo.viral("predict", *words, code=3)


def test_a_batch_is_answered_line_by_line(demo: Installation, tmp_path: Path) -> None:
    requests, answers = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    requests.write_text(
        '{"content_text": "wait for it"}\n\n{"content_text": "what if you never cook again?"}\n'
    )
    done = demo.viral("predict", "--batch", str(requests), "--out", str(answers))
    assert done["answered"] == 2
    assert len([json.loads(line) for line in answers.read_text().splitlines()]) == 2


@pytest.mark.parametrize(
    "line",
    ['{"content_text": ""}', '{"no_such_field": 1}', "not json"],
    ids=["empty text", "unknown field", "not JSON"],
)
def test_a_batch_with_a_bad_line_names_the_line_and_answers_none(
    demo: Installation, tmp_path: Path, line: str
) -> None:
    requests = tmp_path / "in.jsonl"
    requests.write_text('{"content_text": "fine"}\n' + line + "\n")
    said = demo.viral(
        "predict", "--batch", str(requests), "--out", str(tmp_path / "out.jsonl"), code=3
    )
    assert "line 2" in said
    assert not (tmp_path / "out.jsonl").exists()


def test_an_outcome_is_stored_once_and_too_young_a_post_is_refused(demo: Installation) -> None:
    answer = demo.viral("predict", "--text", "one more post", "--posted-at", "2026-01-01")
    counts = ["--views", "1000", "--likes", "90", "--comments", "4", "--shares", "3"]
    young = ["--measured-at", "2026-01-02T00:00:00+00:00"]
    mature = ["--measured-at", "2026-01-09T00:00:00+00:00"]
    said = demo.viral("outcome", "add", answer["id"], *counts, *young, code=3)
    assert "168 hours" in said
    assert demo.viral("outcome", "add", answer["id"], *counts, *mature)["added"] == 1
    assert demo.viral("outcome", "add", answer["id"], *counts, *mature)["already_known"] == 1


def test_running_a_job_that_does_not_exist_names_those_that_do(demo: Installation) -> None:
    assert "retrain_ml" in demo.viral("run", "no_such_job", code=2)


def test_a_job_run_again_tells_its_checks(demo: Installation) -> None:
    report = demo.viral("run", "calculate_trends")
    assert report["success"]
    assert {check["check"] for check in report["checks"]} >= {"phase_needs_two_snapshots"}


def test_what_dbt_prints_goes_to_a_file_and_not_into_the_result(demo: Installation) -> None:
    assert "trending_sounds" in (demo.home / "logs" / "dbt.log").read_text()


def test_simulated_videos_are_never_mixed_into_real_ones(
    demo: Installation, tmp_path: Path
) -> None:
    home = Path(tempfile.mkdtemp(prefix="viral-real-"))
    export = tmp_path / "real.jsonl"
    export.write_text(
        '{"id": "7374737911075310856", "text": "a caption", "createTime": 1717064979,'
        ' "playCount": 10, "diggCount": 1, "commentCount": 0, "shareCount": 0,'
        ' "authorMeta": {"name": "someone", "fans": 5},'
        ' "webVideoUrl": "https://www.tiktok.com/@someone/video/7374737911075310856"}\n'
    )
    try:
        _run(home, "import", str(export))
        assert "real videos" in _run(home, "demo", code=4)
    finally:
        embedded.stop_server(home)
        shutil.rmtree(home, ignore_errors=True)


def test_the_line_on_checks_announces_a_list_only_when_one_follows() -> None:
    counted: dict[str, object] = {"runs": 18, "checks_passed": 87}
    assert _told_checks({**counted, "checks_failed": []}) == [
        "18 runs, 87 checks passed, none failed."
    ]
    assert _told_checks({**counted, "checks_failed": ["a:b: 3 rows"]}) == [
        "18 runs, 87 checks passed, 1 not:",
        "  [yellow]a:b: 3 rows[/]",
    ]
