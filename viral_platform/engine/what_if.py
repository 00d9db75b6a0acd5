"""What the served tier model says when something about a post were otherwise.

Only the model responds: a caption that reads better moves the language models, not this.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Literal, cast

from viral_platform.engine.contracts import (
    CreatorFacts,
    MeasuredSnapshot,
    MlResult,
    StrictModel,
    VideoFacts,
)
from viral_platform.engine.errors import InputError
from viral_platform.engine.features import feature_vector, horizon_of
from viral_platform.engine.tier_model import TierModel

ChangeName = Literal["hashtags", "duration", "hour", "words"]

# A tag that is on no list: it counts as a tag and as nothing else.
_ADDED_TAG = "another{}"
_ADDED_WORD = "word"
_CHANGE = re.compile(r"(hashtags|duration|hour|words)=([+-]?)([0-9]{1,4}(?:\.[0-9]+)?)")


@dataclass(frozen=True, slots=True)
class Change:
    """One change: `amount` is added to what is there when relative, else put in its place.

    `hashtags` and `words` are counts, `duration` is in seconds, `hour` is the UTC hour of posting.
    """

    name: ChangeName
    amount: float
    is_relative: bool


class WhatIf(StrictModel):
    """The model's answer as things are and with the changes, each with its own interval.

    `difference` is in points; `is_within_uncertainty` tells whether the new score lies inside the
    interval of the old one, so that the model cannot tell the two posts apart.
    """

    changes: str
    before: MlResult
    after: MlResult
    difference: float | None
    is_within_uncertainty: bool | None


def parse_change(text: str) -> Change:
    """Return the change that a text says.

    Raises
    ------
    InputError
        It names nothing that can be changed, or no number.

    Examples
    --------
    >>> parse_change("hashtags=-2")
    Change(name='hashtags', amount=-2.0, is_relative=True)
    """
    found = _CHANGE.fullmatch(text.replace(" ", ""))
    if found is None:
        raise InputError(
            f"{text!r} is no change. Give hashtags, duration (seconds), hour (UTC) or words, "
            "as in hashtags=-2, duration=30, hour=+3."
        )
    name, sign, digits = found.groups()
    amount = -float(digits) if sign == "-" else float(digits)
    return Change(cast("ChangeName", name), amount, is_relative=bool(sign))


def changed(facts: VideoFacts, change: Change) -> VideoFacts:
    """Return the facts with one change applied; counts do not fall below 0.

    Raises
    ------
    InputError
        It is relative to something unknown, or the hour is none.
    """
    if change.name == "hashtags":
        count = _counted(len(facts.hashtags), change)
        added = [_ADDED_TAG.format(n) for n in range(count - len(facts.hashtags))]
        return replace(facts, hashtags=(*facts.hashtags[:count], *added))
    if change.name == "words":
        words = (facts.caption or "").split()
        count = _counted(len(words), change)
        added = [_ADDED_WORD] * (count - len(words))
        return replace(facts, caption=" ".join([*words[:count], *added]))
    if change.name == "duration":
        if change.is_relative and facts.duration_seconds is None:
            raise InputError("The length of the video is unknown. Give --duration, or duration=30.")
        return replace(facts, duration_seconds=_moved(facts.duration_seconds or 0.0, change))
    if facts.posted_at is None:
        raise InputError("The posting time is unknown. Give --posted-at to move its hour.")
    if change.is_relative:
        return replace(facts, posted_at=facts.posted_at + timedelta(hours=change.amount))
    if change.amount >= 24:
        raise InputError(f"{change.amount:g} is no hour. Give 0 to 23.")
    at = facts.posted_at.replace(hour=0, minute=0) + timedelta(hours=change.amount)
    return replace(facts, posted_at=at)


def what_if(
    model: TierModel,
    facts: VideoFacts,
    creator: CreatorFacts,
    snapshot: MeasuredSnapshot | None,
    changes: Sequence[Change],
) -> WhatIf:
    """Return the served model's answer before and after the changes."""
    horizon = horizon_of(snapshot)
    before = model.predict(feature_vector(facts, creator, snapshot), horizon)
    for change in changes:
        facts = changed(facts, change)
    after = model.predict(feature_vector(facts, creator, snapshot), horizon)
    difference = within = None
    if before.ml_score is not None and after.ml_score is not None:
        difference = round(after.ml_score - before.ml_score, 1)
        interval = before.interval
        within = interval is None or interval.low <= after.ml_score <= interval.high
    return WhatIf(
        changes=", ".join(_told(change) for change in changes),
        before=before,
        after=after,
        difference=difference,
        is_within_uncertainty=within,
    )


def _moved(value: float, change: Change) -> float:
    return max(0.0, value + change.amount if change.is_relative else change.amount)


def _counted(count: int, change: Change) -> int:
    return int(_moved(float(count), change))


def _told(change: Change) -> str:
    sign = "+" if change.is_relative and change.amount >= 0 else ""
    return f"{change.name}={sign}{change.amount:g}"
