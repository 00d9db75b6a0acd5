"""What a call costs: tokens by kind, the model and the time of the request, in micro-dollars.

Prices are those of the installed `genai-prices`, corrected by a dated override file; nothing is
fetched. Who may spend how much does not belong here.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from decimal import ROUND_CEILING, ROUND_HALF_UP, Decimal
from pathlib import Path
from typing import Annotated

import genai_prices
import yaml
from pydantic import (
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
    model_validator,
)

from viral_platform.engine.errors import ConfigurationError

PACKAGED_OVERRIDES = Path(__file__).with_name("price_overrides.yaml")

_GENAI_IDS = {"gemini": "google", "deepseek": "deepseek"}
_MICRO = Decimal(1_000_000)

Usd = Annotated[Decimal, Field(ge=0)]


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one call by kind.

    `input_tokens` holds the cached, the audio and the video ones too, `output_tokens` the
    reasoning ones. `cached_audio_input_tokens` are both cached and audio; left at 0 where a
    provider does not report them, which prices a call rather too high.
    """

    input_tokens: int
    cached_input_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0
    audio_input_tokens: int = 0
    video_input_tokens: int = 0
    cached_audio_input_tokens: int = 0

    def by_kind(self) -> dict[str, int]:
        """Return the counts under their names."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Priced:
    """A price in whole micro-dollars and the table that it comes from."""

    microdollars: int
    price_version: str


class _Rates(BaseModel):
    """US dollars per million tokens."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    input: Usd
    output: Usd
    cached_input: Usd | None = None
    audio_input: Usd | None = None
    cached_audio_input: Usd | None = None

    @model_validator(mode="after")
    def _cached_is_not_dearer(self) -> _Rates:
        """Refuse prices under which a ceiling without cached tokens would be too low."""
        audio = self.input if self.audio_input is None else self.audio_input
        if (self.cached_input or 0) > self.input or (self.cached_audio_input or 0) > audio:
            raise ValueError("cached tokens cannot cost more than fresh ones")
        return self

    def usd(self, usage: Usage) -> Decimal:
        """Return the price of tokens whose parts do not exceed their wholes."""
        audio_rate = self.input if self.audio_input is None else self.audio_input
        cached_rate = self.input if self.cached_input is None else self.cached_input
        cached_audio_rate = self.cached_audio_input
        if cached_audio_rate is None:
            cached_audio_rate = min(cached_rate, audio_rate)
        cached_audio = usage.cached_audio_input_tokens
        cached = usage.cached_input_tokens - cached_audio
        audio = usage.audio_input_tokens - cached_audio
        text = usage.input_tokens - cached - audio - cached_audio
        total = (
            text * self.input
            + cached * cached_rate
            + audio * audio_rate
            + cached_audio * cached_audio_rate
            + usage.output_tokens * self.output
        )
        return total / _MICRO


class _Override(BaseModel):
    """Prices of a model in a span of time."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    provider: str
    model: str
    start: AwareDatetime = Field(alias="from")
    until: AwareDatetime | None = None
    usd_per_million: _Rates | None = None
    priced_as: str | None = None
    why: str

    @model_validator(mode="after")
    def _says_one_price(self) -> _Override:
        if (self.usd_per_million is None) == (self.priced_as is None):
            raise ValueError("give either usd_per_million or priced_as")
        return self

    def holds(self, provider: str, model: str, at: datetime) -> bool:
        """Whether the entry speaks of a call at `at`."""
        named = (self.provider, self.model) == (provider, model)
        return named and self.start <= at and (self.until is None or at < self.until)


_FILE = TypeAdapter(list[_Override])


class Pricing:
    """Prices of models by the time of the request.

    Parameters
    ----------
    overrides : Path, optional
        YAML file of dated corrections; None is the packaged one.

    Raises
    ------
    ConfigurationError
        The file cannot be read or breaks its form.
    """

    def __init__(self, overrides: Path | None = None) -> None:
        self._path = overrides or PACKAGED_OVERRIDES
        try:
            text = self._path.read_text(encoding="utf-8")
            entries = _FILE.validate_python(yaml.safe_load(text))
        except (OSError, UnicodeDecodeError, yaml.YAMLError, ValidationError) as error:
            raise ConfigurationError(
                f"{self._path}: these price overrides cannot be used: {error}. "
                f"{PACKAGED_OVERRIDES.name} in viral_platform/providers shows the form."
            ) from error
        self._overrides = sorted(entries, key=lambda entry: entry.start)

    def require(self, provider: str, model: str) -> None:
        """Make sure that the model has a price now.

        Raises
        ------
        ConfigurationError
            It has none; says which setting names the model and how to add its prices.
        """
        self._usd(provider, model, Usage(0), datetime.now(UTC))

    def cost(self, provider: str, model: str, usage: Usage, at: datetime) -> Priced:
        """Return what a call costs, rounded half up to whole micro-dollars.

        Parameters
        ----------
        provider : str
            "gemini" or "deepseek".
        model : str
            The model that was asked.
        usage : Usage
            A part that exceeds its whole is cut to it.
        at : datetime
            Time of the request, aware: prices change by date and by hour.

        Raises
        ------
        ConfigurationError
            The model has no price.
        """
        usd, version = self._usd(provider, model, usage, at)
        return Priced(int((usd * _MICRO).quantize(Decimal(1), ROUND_HALF_UP)), version)

    def ceiling(
        self,
        provider: str,
        model: str,
        *,
        input_tokens: int,
        output_tokens: int,
        at: datetime,
        audio_input_tokens: int = 0,
    ) -> int:
        """Return the most that a call of this size can cost, in micro-dollars.

        No token is taken to be cached. Never below what `cost` gives at the same time for any
        usage of at most so many tokens of each kind.

        Raises
        ------
        ConfigurationError
            The model has no price.
        """
        plain = Usage(input_tokens, output_tokens=output_tokens)
        spoken = replace(plain, audio_input_tokens=audio_input_tokens)
        usd = max(self._usd(provider, model, usage, at)[0] for usage in (plain, spoken))
        return int((usd * _MICRO).quantize(Decimal(1), ROUND_CEILING))

    def _usd(self, provider: str, model: str, usage: Usage, at: datetime) -> tuple[Decimal, str]:
        usage = _consistent(usage)
        name = model.lower()
        holding = [entry for entry in self._overrides if entry.holds(provider, name, at)]
        if not holding:
            return self._of_package(provider, model, usage, at)
        entry = holding[-1]
        version = f"override {entry.start:%Y-%m-%d}"
        if entry.usd_per_million is not None:
            return entry.usd_per_million.usd(usage), version
        usd, of_package = self._of_package(provider, entry.priced_as or model, usage, at)
        return usd, f"{version}, {of_package}"

    def _of_package(
        self, provider: str, model: str, usage: Usage, at: datetime
    ) -> tuple[Decimal, str]:
        try:
            price = genai_prices.calc_price(
                genai_prices.Usage(
                    input_tokens=usage.input_tokens,
                    cache_read_tokens=usage.cached_input_tokens,
                    output_tokens=usage.output_tokens,
                    input_audio_tokens=usage.audio_input_tokens,
                    # Left out, it raises when there are both cached and audio tokens.
                    cache_audio_read_tokens=usage.cached_audio_input_tokens,
                ),
                model,
                provider_id=_GENAI_IDS.get(provider, provider),
                genai_request_timestamp=at,
            )
        except LookupError as error:
            setting = f"{provider.upper()}_MODEL"
            raise ConfigurationError(
                f"{setting}: nothing is known of the price of {model} at {provider}, so it is not "
                f"called. Set {setting} to a model with a price (.env.example names one), or add "
                f"{model} with its prices to {self._path}."
            ) from error
        return price.total_price, f"genai-prices {genai_prices.__version__}"


def _consistent(usage: Usage) -> Usage:
    total = max(0, usage.input_tokens)
    cached = _within(usage.cached_input_tokens, 0, total)
    audio = _within(usage.audio_input_tokens, 0, total)
    both = _within(usage.cached_audio_input_tokens, cached + audio - total, min(cached, audio))
    return replace(
        usage,
        input_tokens=total,
        cached_input_tokens=cached,
        audio_input_tokens=audio,
        cached_audio_input_tokens=both,
        output_tokens=max(0, usage.output_tokens),
    )


def _within(count: int, low: int, high: int) -> int:
    return min(max(count, low, 0), high)
