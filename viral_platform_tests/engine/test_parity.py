"""The engine held to recorded inputs and outputs of the system that it replaces.

The vectors lie outside the project, in the directory that `PARITY_VECTORS` names, relative to
the project's root; their README says how to compare. Numbers are those of section 15 of the
engine reference beside them.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from . import parity_breaker as breaker
from . import parity_numbers as numbers
from . import parity_replies as replied
from . import parity_texts as texts
from .parity_answers import ANSWERS
from .parity_inputs import label, never, rnd, unknown

PROJECT = Path(__file__).resolve().parents[2]
DIRECTORY = PROJECT / os.environ.get("PARITY_VECTORS", "../shared/reference/parity_vectors")

WHOLE = "*"
SUSPECT = "suspect"
NEVER_FILLED = "nothing ever filled the posting frequency, so there is none here"
LEFT_TO_HTTP = "the HTTP layer, which decides on absent, null and unknown fields"
EXACT = 1e-9


def table() -> dict[str, dict[str, Verdict]]:
    """Say for each function, and each field of its result, what is held."""
    kept = Kept()
    return {
        "normalize.normalizeInput": {
            "content_text": kept,
            "content_type": kept,
            "input_mode": kept,
            "video_url": kept,
            "hashtags": Except((52,), texts.has_longer_tags, texts.unicode_tags),
            "duration_hint": Except(SUSPECT, texts.names_more_than_a_day, unknown),
            "niche": kept,
            "creator_handle": Except((57,), texts.has_written_handle, texts.bare_handle),
            "society_id": kept,
        },
        "normalize.validateInput": {
            "accepted": Later(texts.is_left_to_http, LEFT_TO_HTTP),
            "data": Later(texts.is_left_to_http, LEFT_TO_HTTP),
            "error_paths": Later(texts.is_left_to_http, LEFT_TO_HTTP),
        },
        "fuzzy.jaroWinklerSimilarity": {WHOLE: kept},
        "fuzzy.bestFuzzyMatch": {WHOLE: Except((50,), texts.is_not_written_out, texts.right_match)},
        "rules.matchesPattern": {WHOLE: Except((34, 38), texts.reads_otherwise, texts.reads)},
        "rules.scoreContentAgainstRules": {
            "matched_rules": Except((34, 38), texts.matches_otherwise, texts.right_rules),
            "rule_score": Except(
                (32, 33, 34, 37, 38), texts.scores_otherwise, texts.right_rule_score
            ),
        },
        "rules.scoreContentAgainstRules_semantic": {
            "matched_rules": Except((34, 36, 38, 41), texts.judges_otherwise, texts.right_judged),
            "rule_score": Except(
                (32, 33, 34, 36, 38, 41), texts.leaves_rules_out, texts.right_judged_score
            ),
        },
        "trends.enrichWithTrends": {
            "matched_trends": Except((45, 50, 83), texts.has_sounds, texts.right_sounds),
            "hashtag_relevance": Except((43, 51, 52, 54), texts.tags_differ, texts.right_relevance),
            "trend_score": Except(
                (43, 45, 46, 50, 51, 52, 54), texts.trends_differ, texts.right_trend_score
            ),
        },
        "trends.classifyTrendPhase": {WHOLE: Dropped("44: growth is a rate between two crawls")},
        "trends.calculateTrends": {WHOLE: Dropped("44, 45, 48: from crawls, by sound id, in SQL")},
        "calibration.computeECE": {
            "ece": Except((9, 10, 11, 12), numbers.ece_differs, numbers.right_ece),
            "bins": Except((9, 10, 11, 12), numbers.bins_differ, numbers.right_bins),
        },
        "calibration.applyPlattScaling": {
            WHOLE: Except((3, 12), numbers.has_parameters, numbers.on_logit)
        },
        "calibration.fitPlattScaling": {
            WHOLE: Except((1, 2, 3), numbers.is_fitted, numbers.no_gradient)
        },
        "calibration.fetchOutcomePairs": {
            WHOLE: Dropped("4, 8, 12: pairs hold the raw score and measured counts, from a view")
        },
        "aggregator.selectWeights": {
            WHOLE: Except((76, 82), numbers.weighs_differently, numbers.right_weights)
        },
        "aggregator.calculateConfidence": {
            "confidence": Except((79,), numbers.lacks_a_model, numbers.right_confidence),
            "confidence_label": Except((79,), numbers.lacks_a_model, numbers.right_label),
        },
        "aggregator.aggregateScores": {
            "overall_score": Except(
                (35, 53, 76, 82, 83), numbers.weighs_otherwise, numbers.right_overall
            ),
            "score_weights": Except(
                (35, 53, 76, 82), numbers.weighs_otherwise, numbers.right_shares
            ),
            "confidence": Except((35, 53, 79), numbers.trusts_otherwise, numbers.right_trust),
            "confidence_label": Except(
                (35, 53, 79), numbers.trusts_otherwise, numbers.right_trust_label
            ),
            "warnings": Except(
                (35, 53, 76, 79, 80, 83), numbers.warns_otherwise, numbers.right_warnings
            ),
            "is_calibrated": Except((83,), numbers.has_no_signal, never),
            "rule_score": Except((83,), numbers.lost_rules, unknown),
            "trend_score": Except((83,), numbers.lost_trends, unknown),
            "behavioral_predictions": Except((83,), numbers.lost_deepseek, unknown),
            "factors": Except((63,), numbers.lost_gemini, numbers.nothing),
            "suggestions": kept,
            "gemini_score": Except((83,), numbers.lost_gemini, unknown),
            "behavioral_score": Except((83,), numbers.lost_deepseek, unknown),
            "deepseek_used": kept,
            "cost_cents": Except((74,), numbers.rounds_calls_apart, numbers.right_cost),
            "has_video": Dropped("60: no video was analysed, whatever was named"),
            "input_mode": kept,
            "ml_score": Dropped("14-16: of the old classifier, through its feature bridge"),
            "feature_vector": Dropped("14-16, 83: the old classifier's feature bridge"),
        },
        "ml.predictWithML": {
            "score": kept,
            "logits": Dropped("of the old classifier's weights; trees have none"),
        },
        "ml.featureVectorToMLInput": {WHOLE: Dropped("14-16: the old classifier's feature bridge")},
        "ml.videoToFeatures": {WHOLE: Dropped("14, 15, 17, 20: the old classifier's features")},
        "ml.softmax": {WHOLE: Dropped("of the old classifier; the boosted trees normalise")},
        "ml.assignTiers": {WHOLE: Dropped("18, 19: tiers are of engagement at equal age")},
        "ml.stratifiedSplit": {WHOLE: Dropped("24: parts are split by time and by author")},
        "ml.computeClassWeights": {WHOLE: Dropped("of the old classifier; horizons are weighted")},
        "creator.fetchCreatorContext": {
            WHOLE: Dropped("55-58: medians of crawled posts by normalised handle, in SQL")
        },
        "creator.formatCreatorContext": {
            WHOLE: Except(NEVER_FILLED, replied.writes_more_often, replied.without_frequency)
        },
        "deepseek.stripFences": {WHOLE: kept},
        "deepseek.circuitBreaker": {WHOLE: Except((67, 69), breaker.departs, breaker.right)},
        "deepseek.calculateDeepSeekCost": {WHOLE: Dropped("74: priced by model and date")},
        "deepseek.parseDeepSeekResponse": {
            "accepted": kept,
            "data": kept,
            "reason": kept,
            "error_paths": kept,
        },
        "gemini.stripFences": {WHOLE: kept},
        "gemini.calculateCost": {WHOLE: Dropped("74: priced by model and date")},
        "gemini.parseGeminiResponse": gemini_reply(),
        "gemini.parseGeminiVideoResponse": gemini_reply(),
    }


def gemini_reply() -> dict[str, Verdict]:
    """Say what is held of the reading of a content analysis."""
    fits = replied.is_fitted
    return {
        "accepted": Except((77,), fits, replied.right_acceptance),
        "data": Except((77,), fits, replied.right_reply),
        "reason": Except((77,), fits, replied.right_reason),
        "error_paths": Except((77,), fits, replied.right_paths),
    }


@dataclass(frozen=True)
class Kept:
    """Every case equals the recorded value."""


@dataclass(frozen=True)
class Except:
    """Kept but where `when(input)`; there `right(input)` holds instead.

    The recorded output is in the input under "recorded", for parts that no defect touches.

    `because` numbers the defects, or says in words why. `SUSPECT` departs only in cases that bear
    this tag.
    """

    because: tuple[int, ...] | str
    when: Callable[[Any], bool]
    right: Callable[[Any], Any]


@dataclass(frozen=True)
class Later:
    """Kept but where `when(input)`: for these inputs a part of this code base is missing."""

    when: Callable[[Any], bool]
    because: str


@dataclass(frozen=True)
class Dropped:
    """Not held, and why."""

    because: str


Verdict = Kept | Except | Later | Dropped


FIXTURE_OF = {"library": "libraries", "sounds": "sounds", "videos": "videos", "weights": "weights"}


@dataclass(frozen=True)
class Case:
    """One recorded call. Names of fixtures in its input are replaced by the fixtures."""

    function: str
    id: str
    input: Any
    output: Any
    tags: frozenset[str]


def read_blocks() -> list[dict[str, Any]]:
    """Return the blocks of all vector files, one per function."""
    files = sorted(DIRECTORY.glob("*.json")) if DIRECTORY.is_dir() else []
    return [block for file in files for block in json.loads(file.read_text(encoding="utf-8"))]


def read_cases(blocks: Iterable[dict[str, Any]]) -> Iterator[Case]:
    """Yield the cases of all functions of which a field at least is held."""
    held = {
        name
        for name, fields in table().items()
        if not all(isinstance(verdict, Dropped) for verdict in fields.values())
    }
    fixtures: dict[str, dict[str, Any]] = {}
    for block in blocks:
        # A block may name a fixture of an earlier block of its module.
        fixtures.setdefault(block["module"], {}).update(block.get("fixtures", {}))
        function = f"{block['module']}.{block['function']}"
        for case in block["cases"] if function in held else []:
            given, output = case["input"], case["output"]
            for name, group in FIXTURE_OF.items():
                if isinstance(given, dict) and isinstance(given.get(name), str):
                    given = given | {name: fixtures[block["module"]][group][given[name]]}
            if function == "aggregator.aggregateScores":
                # The dropped classifier's score is an input of the aggregation.
                given = given | {"ml_score": output["ml_score"]}
            yield Case(
                function, case["id"], given, output, frozenset(key for key in case if case[key])
            )


BLOCKS = read_blocks()

needs_vectors = pytest.mark.skipif(not BLOCKS, reason="no vector files; see PARITY_VECTORS")


@needs_vectors
@pytest.mark.parametrize("case", [pytest.param(case, id=case.id) for case in read_cases(BLOCKS)])
def test_parity(case: Case) -> None:
    fields = table()[case.function]
    answer = ANSWERS[case.function](case.input)
    recorded = {WHOLE: case.output} if WHOLE in fields else case.output
    answered = {WHOLE: answer} if WHOLE in fields else answer
    postponed = []
    for field in fields.keys() & (recorded.keys() | answered.keys()):
        verdict = fields[field]
        if isinstance(verdict, Dropped):
            continue
        if isinstance(verdict, Later) and verdict.when(case.input):
            postponed.append(verdict.because)
            continue
        expected = recorded.get(field)
        if field == "confidence_label" and "label_edge" in case.tags:
            expected = label(rnd(recorded["confidence"], 2))
        if isinstance(verdict, Except) and departs(verdict, case):
            expected = verdict.right(case.input | {"recorded": case.output})
        ours = answered.get(field)
        assert same(ours, expected, tolerance(field, case)), f"{field}: {ours}, not {expected}"
    if postponed:
        pytest.skip(f"not built: {postponed[0]}")


def tolerance(field: str, case: Case) -> float:
    """Allow one point of a raw score on the edge of rounding, and what a sigmoid makes of it."""
    if field != "overall_score" or "rounding_edge" not in case.tags:
        return EXACT
    platt = case.input["platt"]
    return max(1.0, abs(platt["a"]) / 4) if isinstance(platt, dict) else 1.0


def departs(verdict: Except, case: Case) -> bool:
    tagged = verdict.because != SUSPECT or "suspect" in case.tags
    return tagged and verdict.when(case.input)


@needs_vectors
def test_every_function_and_field_is_decided_once() -> None:
    decided = table()
    for block in BLOCKS:
        name = f"{block['module']}.{block['function']}"
        assert name in decided
        if WHOLE in decided[name]:
            continue
        for field in {field for case in block["cases"] for field in case["output"]}:
            assert field in decided[name], (name, field)


def same(ours: Any, theirs: Any, within: float) -> bool:
    """Compare as the README says: numbers within a tolerance, null equals missing."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        return all(
            same(ours.get(key), theirs.get(key), within) for key in ours.keys() | theirs.keys()
        )
    if isinstance(ours, list | tuple) and isinstance(theirs, list | tuple):
        pairs = zip(ours, theirs, strict=False)
        return len(ours) == len(theirs) and all(same(a, b, within) for a, b in pairs)
    if isinstance(ours, bool) or isinstance(theirs, bool):
        return ours is theirs
    if isinstance(ours, int | float) and isinstance(theirs, int | float):
        return abs(ours - theirs) <= within
    return type(ours) is type(theirs) and bool(ours == theirs)
