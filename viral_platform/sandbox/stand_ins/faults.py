"""What a stand-in can be told to do wrong, and the order in which it does so.

How a fault looks on the wire is each provider's; when it strikes is decided here.
"""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from viral_platform.engine.errors import InputError, UnreadableFileError

ProviderName = Literal["gemini", "deepseek", "apify", "whop"]

FAULT_HEADER = "x-stand-in-fault"


class Fault(StrEnum):
    """One way to go wrong. Options in brackets, with what holds when they are left out."""

    LATENCY = "latency"
    """A normal answer, [seconds: 1] late."""
    RATE_LIMITED = "rate_limited"
    """429, and [retry_after: 1] seconds to wait."""
    SERVER_ERROR = "server_error"
    """[status: 503]."""
    RESET = "reset"
    """The connection is reset after the request was read."""
    HANG = "hang"
    """The connection stays open and nothing comes."""
    KEEP_ALIVE = "keep_alive"
    """200 at once, blank lines for [seconds: 3], then the normal body."""
    UNAUTHORIZED = "unauthorized"
    """The key is refused; [status], where a provider has several."""
    OUT_OF_CREDIT = "out_of_credit"
    """402."""
    NOT_FOUND = "not_found"
    """404."""
    GARBAGE = "garbage"
    """200 with a body that is no JSON."""
    TRUNCATED_JSON = "truncated_json"
    """The reply, or the page, is cut in its middle; with [finish: false] a reply admits it."""
    SCHEMA_DRIFT = "schema_drift"
    """The reply is JSON with renamed fields."""
    OUT_OF_RANGE = "out_of_range"
    """Every score of the reply is 99."""
    MISSING_FACTOR = "missing_factor"
    """The reply lacks one of its parts."""
    FENCED = "fenced"
    """The reply stands in a code fence, between sentences."""
    REFUSAL = "refusal"
    """A safety filter stopped the reply; [reason]."""
    BLOCKED = "blocked"
    """A safety filter stopped the prompt; [reason]."""
    EMPTY = "empty"
    """No reply; with [blank: false] one of blanks. An empty dataset at Apify."""
    NO_USAGE = "no_usage"
    """A normal answer that does not say what it used."""
    FILE_FAILED = "file_failed"
    """An uploaded file cannot be processed."""
    RUN_STATUS = "run_status"
    """An actor run stands at [status: FAILED]."""
    ERROR_ITEM = "error_item"
    """The dataset holds what a scraper stores for an input that failed."""


_OPTIONS: dict[Fault, frozenset[str]] = {
    Fault.LATENCY: frozenset({"seconds"}),
    Fault.RATE_LIMITED: frozenset({"retry_after"}),
    Fault.SERVER_ERROR: frozenset({"status"}),
    Fault.KEEP_ALIVE: frozenset({"seconds"}),
    Fault.UNAUTHORIZED: frozenset({"status"}),
    Fault.TRUNCATED_JSON: frozenset({"finish"}),
    Fault.REFUSAL: frozenset({"reason"}),
    Fault.BLOCKED: frozenset({"reason"}),
    Fault.EMPTY: frozenset({"blank"}),
    Fault.RUN_STATUS: frozenset({"status"}),
}

_ASKING = frozenset({"generate", "stream", "chat"})
# Faults that only some operations can show pass the others by. Any other fault strikes anywhere.
_STRIKES: dict[Fault, frozenset[str]] = {
    Fault.TRUNCATED_JSON: _ASKING | {"items"},
    Fault.SCHEMA_DRIFT: _ASKING | {"start", "run", "memberships"},
    Fault.OUT_OF_RANGE: _ASKING,
    Fault.MISSING_FACTOR: _ASKING,
    Fault.FENCED: _ASKING,
    Fault.REFUSAL: _ASKING,
    Fault.BLOCKED: _ASKING,
    Fault.EMPTY: _ASKING | {"items"},
    Fault.NO_USAGE: _ASKING | {"start", "run"},
    Fault.FILE_FAILED: frozenset({"file_get"}),
    Fault.RUN_STATUS: frozenset({"run"}),
    Fault.ERROR_ITEM: frozenset({"items"}),
}


@dataclass(frozen=True, slots=True)
class Planned:
    """A fault with its options."""

    fault: Fault
    options: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        unknown = self.options.keys() - _OPTIONS.get(self.fault, frozenset())
        if unknown:
            known = ", ".join(sorted(_OPTIONS.get(self.fault, ()))) or "none"
            raise InputError(
                f"fault {self.fault}: no option {', '.join(sorted(unknown))}. It has: {known}."
            )

    def seconds(self, default: float) -> float:
        """Return the option `seconds`."""
        return float(self.options.get("seconds", default))


class _Entry(BaseModel):
    """One fault that waits. Keys beside the four are options."""

    model_config = ConfigDict(extra="allow")

    provider: ProviderName
    fault: Fault
    operation: str | None = None
    times: int | None = None

    def planned(self) -> Planned:
        return Planned(self.fault, dict(self.model_extra or {}))

    def strikes(self, provider: str, operation: str) -> bool:
        return (
            provider == self.provider
            and self.operation in {None, operation}
            and operation in _STRIKES.get(self.fault, {operation})
            and self.times != 0
        )

    def use(self) -> None:
        if self.times is not None:
            self.times -= 1


_SCENARIO = TypeAdapter(list[_Entry])


class FaultPlan:
    """Faults to come, in the order in which they were planned; safe for threads.

    A header of the request comes first, then what `add` planned, then the scenario file.

    Parameters
    ----------
    scenario : Path, optional
        JSON list of `{provider, fault, operation?, times?, ...options}`, read again whenever it
        changes; `times` then counts anew.

    Raises
    ------
    UnreadableFileError
        The scenario is no such list.
    """

    def __init__(self, scenario: Path | None = None) -> None:
        self._lock = threading.Lock()
        self._added: list[_Entry] = []
        self._scenario_path = scenario
        self._scenario: list[_Entry] = []
        self._read_at: int | None = None
        self._refresh()

    def add(
        self,
        provider: ProviderName,
        fault: Fault,
        *,
        times: int | None,
        operation: str | None,
        options: dict[str, Any],
    ) -> None:
        """Plan a fault for the next `times` calls that can show it, None for all."""
        entry = _Entry(provider=provider, fault=fault, operation=operation, times=times, **options)
        entry.planned()
        with self._lock:
            self._added.append(entry)

    def clear(self) -> None:
        """Forget what `add` planned."""
        with self._lock:
            self._added.clear()

    def next(self, provider: str, operation: str, header: str | None) -> Planned | None:
        """Return the fault that the call at hand shows, and count it."""
        if header is not None:
            return _parse(header)
        with self._lock:
            self._refresh()
            for entry in (*self._added, *self._scenario):
                if entry.strikes(provider, operation):
                    entry.use()
                    return entry.planned()
        return None

    def _refresh(self) -> None:
        path = self._scenario_path
        if path is None:
            return
        try:
            changed_at = path.stat().st_mtime_ns
            if changed_at == self._read_at:
                return
            self._scenario = _SCENARIO.validate_json(path.read_bytes())
            for entry in self._scenario:
                entry.planned()
        except (OSError, ValidationError, InputError) as error:
            raise UnreadableFileError(
                path,
                "scenario",
                f"{error}",
                'Write a list as [{"provider": "gemini", "fault": "reset", "times": 1}].',
            ) from error
        self._read_at = changed_at


def _parse(header: str) -> Planned:
    """Read `rate_limited;retry_after=0.2`."""
    name, *parts = (part.strip() for part in header.split(";"))
    options = {}
    for part in parts:
        key, _, text = part.partition("=")
        try:
            options[key] = json.loads(text)
        except ValueError:
            options[key] = text
    return Planned(Fault(name), options)
