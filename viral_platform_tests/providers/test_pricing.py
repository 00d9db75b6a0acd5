from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import genai_prices
import genai_prices.data
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from viral_platform.engine.errors import ConfigurationError
from viral_platform.providers.pricing import Pricing, Usage
from viral_platform.settings import PROJECT_ROOT, Settings

SAMPLES = PROJECT_ROOT.parent / "shared" / "contracts" / "samples"
NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
PEAK = datetime(2026, 11, 20, 8, tzinfo=UTC)
PACKAGE = f"genai-prices {genai_prices.__version__}"
PRICING = Pricing()


def sample(name: str) -> Any:
    path = SAMPLES / f"{name}.json"
    if not path.is_file():
        pytest.skip("the samples of the contracts are not beside this checkout")
    return json.loads(path.read_text(encoding="utf-8"))


def deepseek_usage(reply: Any) -> Usage:
    counts = reply["usage"]
    return Usage(
        input_tokens=counts["prompt_tokens"],
        cached_input_tokens=counts["prompt_cache_hit_tokens"],
        output_tokens=counts["completion_tokens"],
    )


def gemini_usage(reply: Any) -> Usage:
    counts = reply["usageMetadata"]

    def of(details: str, modality: str) -> int:
        return next(part["tokenCount"] for part in counts[details] if part["modality"] == modality)

    return Usage(
        input_tokens=counts["promptTokenCount"],
        cached_input_tokens=counts["cachedContentTokenCount"],
        output_tokens=counts["candidatesTokenCount"] + counts["thoughtsTokenCount"],
        reasoning_tokens=counts["thoughtsTokenCount"],
        audio_input_tokens=of("promptTokensDetails", "AUDIO"),
        video_input_tokens=of("promptTokensDetails", "VIDEO"),
        cached_audio_input_tokens=of("cacheTokensDetails", "AUDIO"),
    )


def a_thousand(usage: Usage) -> Usage:
    return Usage(**{kind: 1000 * count for kind, count in usage.by_kind().items()})


@pytest.mark.parametrize(
    ("name", "read", "provider", "model", "microdollars", "of_a_thousand"),
    [
        ("deepseek_chat_response", deepseek_usage, "deepseek", "deepseek-flash", 27, 26_952),
        ("deepseek_thinking_response", deepseek_usage, "deepseek", "deepseek-flash", 131, 131_352),
        ("gemini_generate_response", gemini_usage, "gemini", "gemini-2.5-flash", 888, 888_100),
    ],
)
def test_the_samples_cost_what_the_contract_says(
    name: str, read: Any, provider: str, model: str, microdollars: int, of_a_thousand: int
) -> None:
    usage = read(sample(name))
    priced = PRICING.cost(provider, model, usage, NOON)
    assert (priced.microdollars, priced.price_version) == (microdollars, PACKAGE)
    assert PRICING.cost(provider, model, a_thousand(usage), NOON).microdollars == of_a_thousand


def test_half_a_microdollar_is_rounded_up() -> None:
    # 0.15 dollars per million tokens at noon: 10 tokens are 1.5 micro-dollars, 30 are 4.5.
    for tokens, microdollars in ((10, 2), (30, 5), (3, 0), (4, 1)):
        assert PRICING.cost("deepseek", "deepseek-flash", Usage(tokens), NOON).microdollars == (
            microdollars
        )


def test_the_price_follows_the_hour_of_the_request_and_not_the_clock() -> None:
    usage = Usage(1_000_000, output_tokens=1_000_000)
    costs = [PRICING.cost("deepseek", "deepseek-flash", usage, at) for at in (NOON, PEAK)]
    assert [priced.microdollars for priced in costs] == [750_000, 1_500_000]


def test_audio_is_priced_apart_from_text_and_video() -> None:
    silent = Usage(1_000_000, video_input_tokens=900_000)
    spoken = replace(silent, audio_input_tokens=100_000)
    costs = [PRICING.cost("gemini", "gemini-2.5-flash", usage, NOON) for usage in (silent, spoken)]
    assert [priced.microdollars for priced in costs] == [300_000, 370_000]


def test_audio_and_cached_tokens_without_a_count_of_both_are_priced_on_the_high_side() -> None:
    """The price package raises on such a usage, which Gemini does send."""
    usage = Usage(1000, cached_input_tokens=500, audio_input_tokens=300)
    priced = PRICING.cost("gemini", "gemini-2.5-flash", usage, NOON)
    assert priced.microdollars == round(200 * 0.3 + 500 * 0.03 + 300 * 1.0)
    known = PRICING.cost(
        "gemini", "gemini-2.5-flash", replace(usage, cached_audio_input_tokens=300), NOON
    )
    assert known.microdollars < priced.microdollars


@pytest.mark.parametrize(
    ("usage", "same_as"),
    [
        (Usage(100, cached_input_tokens=900), Usage(100, cached_input_tokens=100)),
        (Usage(100, audio_input_tokens=900), Usage(100, audio_input_tokens=100)),
        (
            Usage(100, cached_input_tokens=80, audio_input_tokens=90),
            Usage(100, 80, audio_input_tokens=90, cached_audio_input_tokens=70),
        ),
        (Usage(-5, output_tokens=-5), Usage(0)),
    ],
    ids=["cached", "audio", "both", "negative"],
)
def test_a_part_that_exceeds_its_whole_is_cut_to_it(usage: Usage, same_as: Usage) -> None:
    costs = [
        PRICING.cost("gemini", "gemini-2.5-flash", a_thousand(counts), NOON)
        for counts in (usage, same_as)
    ]
    assert costs[0] == costs[1]


@pytest.mark.parametrize("name", ["deepseek-chat", "DeepSeek-Reasoner"])
@pytest.mark.parametrize(
    ("at", "microdollars", "version"),
    [
        (datetime(2026, 1, 15, 12, tzinfo=UTC), 280_000, "override 2025-12-01"),
        (NOON, 150_000, f"override 2026-07-24, {PACKAGE}"),
        (PEAK, 300_000, f"override 2026-07-24, {PACKAGE}"),
    ],
    ids=["V3.2", "retired", "retired, peak hour"],
)
def test_retired_names_cost_what_they_meant_at_the_time(
    name: str, at: datetime, microdollars: int, version: str
) -> None:
    priced = PRICING.cost("deepseek", name, Usage(1_000_000), at)
    assert (priced.microdollars, priced.price_version) == (microdollars, version)


def test_v4_pro_is_priced_as_flash_from_the_hour_that_it_is_served_by_it() -> None:
    before, after = (
        PRICING.cost("deepseek", "deepseek-v4-pro", Usage(1_000_000), at)
        for at in (
            datetime(2026, 9, 14, 3, 59, tzinfo=UTC),
            datetime(2026, 9, 14, 4, 0, tzinfo=UTC),
        )
    )
    assert (before.microdollars, before.price_version) == (1_320_000, PACKAGE)
    assert (after.microdollars, after.price_version) == (150_000, f"override 2026-09-14, {PACKAGE}")


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


OWN = """
- provider: gemini
  model: gemini-next
  from: 2026-01-01T00:00:00Z
  until: 2026-12-01T00:00:00Z
  usd_per_million: {input: 1, output: 4, audio_input: 2, cached_input: 0.1}
  why: Not in the package yet.
"""


def test_an_override_of_ones_own_prices_a_model_that_the_package_lacks(tmp_path: Path) -> None:
    pricing = Pricing(write(tmp_path / "own.yaml", OWN))
    usage = Usage(1000, 400, 100, audio_input_tokens=300, cached_audio_input_tokens=50)
    priced = pricing.cost("gemini", "gemini-next", usage, NOON)
    # 350 text, 350 cached text, 250 audio, 50 cached audio, 100 output.
    assert priced.microdollars == 350 * 1 + 35 + 250 * 2 + 5 + 100 * 4
    assert priced.price_version == "override 2026-01-01"
    assert pricing.ceiling(
        "gemini", "gemini-next", input_tokens=1000, output_tokens=100, at=NOON
    ) == (1400)
    with pytest.raises(ConfigurationError, match="GEMINI_MODEL"):
        pricing.cost("gemini", "gemini-next", usage, datetime(2026, 12, 1, tzinfo=UTC))


@pytest.mark.parametrize(
    "text",
    [
        OWN.replace("why:", "reason:"),
        OWN.replace("2026-01-01T00:00:00Z", "soon"),
        OWN.replace("input: 1,", "input: -1,"),
        OWN.replace("cached_input: 0.1", "cached_input: 1.1"),
        OWN.replace("usd_per_million", "# usd_per_million"),
        "- [",
        "prices",
    ],
    ids=["field", "date", "negative", "dearer when cached", "no price", "no YAML", "no list"],
)
def test_overrides_of_another_form_are_refused_by_name(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigurationError, match=r"own\.yaml: these price overrides"):
        Pricing(write(tmp_path / "own.yaml", text))


def test_overrides_that_do_not_exist_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"none\.yaml"):
        Pricing(tmp_path / "none.yaml")


@pytest.mark.parametrize("provider", ["gemini", "deepseek"])
def test_a_model_without_a_price_is_an_error_that_names_the_setting_and_the_file(
    provider: str,
) -> None:
    fix = rf"{provider.upper()}_MODEL.*price of no-such-model.*price_overrides\.yaml"
    with pytest.raises(ConfigurationError, match=fix):
        PRICING.require(provider, "no-such-model")
    with pytest.raises(ConfigurationError, match=fix):
        PRICING.cost(provider, "no-such-model", Usage(1), NOON)


def test_the_models_that_the_settings_name_have_a_price() -> None:
    settings = Settings(_env_file=None)
    PRICING.require("gemini", settings.gemini_model)
    PRICING.require("deepseek", settings.deepseek_model)
    PRICING.require("deepseek", "deepseek-chat")


TEXT_MODELS = [
    (provider, model.id)
    for provider, ours in (("google", "gemini"), ("deepseek", "deepseek"))
    for entry in genai_prices.data.providers
    if entry.id == provider
    for model in entry.models
    for provider in (ours,)
    if model.id.startswith(("gemini-2.5", "gemini-3", "deepseek"))
]


@given(
    model=st.sampled_from([*TEXT_MODELS, ("deepseek", "deepseek-v4-pro")]),
    limits=st.tuples(*[st.integers(0, 400_000)] * 3),
    shares=st.tuples(*[st.floats(0, 1)] * 5),
    hour=st.integers(0, 23),
)
@example(("gemini", "gemini-2.5-pro"), (200_001, 10, 5), (1, 0, 0, 0, 1), 12)
def test_no_usage_within_the_limits_costs_more_than_the_ceiling(
    model: tuple[str, str],
    limits: tuple[int, int, int],
    shares: tuple[float, float, float, float, float],
    hour: int,
) -> None:
    at = NOON.replace(hour=hour)
    ceiling = PRICING.ceiling(
        *model,
        input_tokens=limits[0],
        output_tokens=limits[1],
        audio_input_tokens=limits[2],
        at=at,
    )
    tokens = int(limits[0] * shares[0])
    usage = Usage(
        input_tokens=tokens,
        cached_input_tokens=int(tokens * shares[1]),
        audio_input_tokens=int(limits[2] * shares[2]),
        cached_audio_input_tokens=int(tokens * shares[3]),
        output_tokens=int(limits[1] * shares[4]),
    )
    assert 0 <= PRICING.cost(*model, usage, at).microdollars <= ceiling
