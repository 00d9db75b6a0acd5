"""What all requests draw on, read once in a while: rules, trends, the model, the calibrations.

A part that cannot be read is named: the one of an earlier reading stands in for it, and without
one it fails the stage that needs it and no other.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TypeVar

from viral_platform.engine.contracts import CreatorFacts, Rule, TrendTable
from viral_platform.engine.creator import PlatformBaseline
from viral_platform.engine.errors import NotFoundError
from viral_platform.engine.prediction import Inputs
from viral_platform.engine.tier_model import TierModel
from viral_platform.services.answers import report
from viral_platform.services.training import load_model
from viral_platform.storage import calibration, histories, marts, models, rules
from viral_platform.storage.artifacts import ArtifactStore
from viral_platform.storage.calibration import PlattRecord
from viral_platform.storage.database import Database

# How old a kept trend table, model or calibration may be: a promotion or a new mart is seen by
# every process within this time, and a request pays for the reading once in it.
RELOAD_SECONDS = 30.0
# A database that hangs holds an answer up no longer than this.
READ_SECONDS = 5.0
# What could not be read is tried again after so long.
RETRY_SECONDS = 5.0

_PARTS = ("rules", "trends", "model", "calibration")

Loaded = TypeVar("Loaded")


@dataclass(frozen=True)
class Kept:
    """What is the same for all requests of a short while.

    `failures` names the parts that could not be read, `stale` those of an earlier reading.
    """

    rules: list[Rule] | None = None
    trends: TrendTable | None = None
    model: TierModel | None = None
    calibration: dict[tuple[str, str], PlattRecord] | None = None
    baseline: PlatformBaseline | None = None
    simulated: bool | None = None
    failures: Mapping[str, str] = field(default_factory=dict)
    stale: tuple[str, ...] = ()

    @property
    def calibrations(self) -> dict[tuple[str, str], PlattRecord]:
        """The fits in force, by input mode and horizon."""
        return self.calibration or {}

    def inputs(self) -> Inputs:
        """Return what the engine reads of it."""
        return Inputs(
            rules=self.rules,
            trends=self.trends,
            model=self.model,
            calibrations={key: fit.calibration for key, fit in self.calibrations.items()},
            baseline=self.baseline or PlatformBaseline(),
            failures=self.failures,
            stale=self.stale,
        )


class SharedInputs:
    """Reads and keeps the parts for one process; safe for threads."""

    def __init__(
        self, database: Database, artifacts: ArtifactStore, clock: Callable[[], float]
    ) -> None:
        self._database = database
        self._artifacts = artifacts
        self._clock = clock
        self._lock = threading.Lock()
        self._load_lock = threading.Lock()
        self._kept: Kept | None = None
        self._loaded_at = 0.0

    def refresh(self) -> None:
        """Forget what is kept; the next request reads it anew."""
        with self._lock:
            self._kept = None

    async def current(self) -> Kept:
        """Return what is kept, read anew when it is old; what cannot be read is named in it."""
        kept = self._fresh()
        if kept is not None:
            return kept
        before = self._kept
        try:
            async with asyncio.timeout(READ_SECONDS):
                return await asyncio.to_thread(self._reloaded)
        except TimeoutError as error:
            report("load", error)
            if before is None:
                return Kept(failures=dict.fromkeys(_PARTS, "TimeoutError"))
            return replace(before, stale=_PARTS)

    def _fresh(self) -> Kept | None:
        with self._lock:
            kept = self._kept
            if kept is None:
                return None
            whole = not kept.failures and not kept.stale
            seconds = RELOAD_SECONDS if whole else RETRY_SECONDS
            return kept if self._clock() - self._loaded_at <= seconds else None

    def _reloaded(self) -> Kept:
        """Read everything anew, once for all requests that wait for it."""
        with self._load_lock:
            kept = self._fresh()
            if kept is None:
                kept = self._load(self._kept)
                with self._lock:
                    self._kept, self._loaded_at = kept, self._clock()
            return kept

    def _load(self, before: Kept | None) -> Kept:
        found = _Parts(before or Kept())
        kept = Kept(
            rules=found.part("rules", lambda: rules.load_rules(self._database) or None),
            trends=found.part("trends", self._trends),
            model=found.part("model", self._champion),
            calibration=found.part(
                "calibration", lambda: calibration.fits_in_force(self._database)
            ),
            baseline=found.part("baseline", self._baseline),
            simulated=found.part("simulated", lambda: histories.holds_simulated(self._database)),
        )
        return replace(kept, failures=found.failures, stale=tuple(found.stale))

    def _trends(self) -> TrendTable | None:
        try:
            return marts.load_trend_table(self._database)
        except NotFoundError:
            return None

    def _champion(self) -> TierModel | None:
        record = models.champion(self._database)
        return None if record is None else load_model(record, self._artifacts)

    def _baseline(self) -> PlatformBaseline | None:
        try:
            return marts.platform_baseline(self._database)
        except NotFoundError:
            return None

    async def creator(self, handle: str) -> CreatorFacts | None:
        """Return what is known of a creator, None when no crawl has seen them."""
        try:
            return await asyncio.to_thread(marts.creator_facts, self._database, handle)
        except NotFoundError:
            return None


class _Parts:
    """Reads parts one by one; one that cannot be read is what it was before, or a failure."""

    def __init__(self, before: Kept) -> None:
        self._before = before
        self.failures: dict[str, str] = {}
        self.stale: list[str] = []

    def part(self, name: str, load: Callable[[], Loaded | None]) -> Loaded | None:
        """Return what `load` returns, or the part as it was read before."""
        try:
            return load()
        except Exception as error:  # noqa: BLE001  a part that cannot be read degrades the answer
            report(name, error)
            known: Loaded | None = getattr(self._before, name)
            if known is None:
                self.failures[name] = type(error).__name__
            else:
                self.stale.append(name)
            return known
