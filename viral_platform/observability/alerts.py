"""What an operator must hear of: to Sentry when it is on, else as one line of the log."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, cast

import sentry_sdk
from sentry_sdk.types import Event

from viral_platform.observability.logging import get_logger
from viral_platform.observability.scrubbing import scrub_text

log = get_logger(__name__)

MESSAGE_CHARACTERS = 300
FLUSH_SECONDS = 2.0
RUNBOOK = "docs/runbook.md"
_FRAMES = 30
_FRAME = re.compile(r'File "(?P<path>[^"]+)", line (?P<line>\d+), in (?P<name>[^\n]+)')


@dataclass(frozen=True, slots=True)
class Cause:
    """The error behind an alert: its class, the first line of its message, its formatted frames.

    Only the first line: later ones of a validator or a database quote what was given.
    """

    kind: str
    message: str
    stack: Sequence[str] = ()

    @property
    def first_line(self) -> str:
        """The first line of the message, without the name of the class before it."""
        line = self.message.strip().partition("\n")[0]
        bare = re.sub(rf"^(?:[\w.]+\.)?{re.escape(self.kind)}(?:: |$)", "", line)
        return scrub_text(bare)[:MESSAGE_CHARACTERS]


@dataclass(frozen=True, slots=True)
class Alert:
    """One thing that went wrong.

    Parameters
    ----------
    event : str
        Name of its kind, as "run_failed"; also that of the log line.
    title : str
        A sentence of ours.
    is_error : bool
        False for advice: what a gate or too little data refused.
    tags : mapping of str
        What it is found by: job, run_id, asset, check, sensor, error_kind. Empty ones are left out.
    same_as : sequence of str
        Alerts with equal ones are of one issue.
    cause : Cause, optional
        The error, when there was one.
    figures : mapping
        What was measured.
    """

    event: str
    title: str
    is_error: bool
    tags: Mapping[str, str]
    same_as: Sequence[str]
    cause: Cause | None = None
    figures: Mapping[str, float | str] = field(default_factory=dict)

    @property
    def level(self) -> Literal["error", "warning"]:
        """Its level."""
        return "error" if self.is_error else "warning"


def send(alerts: Sequence[Alert]) -> None:
    """Report alerts, each once; return when they are sent, or after two seconds."""
    if not alerts:
        return
    if sentry_sdk.get_client().transport is None:
        for alert in alerts:
            _write(alert)
        return
    for alert in alerts:
        sentry_sdk.capture_event(_sentry_event(alert))
    sentry_sdk.flush(timeout=FLUSH_SECONDS)


def _write(alert: Alert) -> None:
    problem = {} if alert.cause is None else {"problem": alert.cause.first_line}
    write = log.error if alert.is_error else log.warning
    write(
        alert.event,
        title=alert.title,
        figures=dict(alert.figures),
        **_known(alert.tags),
        **problem,
    )


def _sentry_event(alert: Alert) -> Event:
    shown: dict[str, Any] = {
        "level": alert.level,
        "logger": __name__,
        "tags": {"alert": alert.event, **_known(alert.tags)},
        "fingerprint": [alert.event, *alert.same_as],
        "contexts": {"alert": {"title": alert.title, "runbook": RUNBOOK, **alert.figures}},
    }
    if alert.cause is None:
        shown["message"] = alert.title
    else:
        value: dict[str, Any] = {"type": alert.cause.kind, "value": alert.cause.first_line}
        frames = [frame for entry in alert.cause.stack if (frame := _frame(entry))]
        if frames:
            value["stacktrace"] = {"frames": frames[-_FRAMES:]}
        shown["exception"] = {"values": [value]}
    return cast("Event", shown)


def _frame(entry: str) -> dict[str, Any] | None:
    """Return a frame as Sentry knows it, of one that Python has formatted."""
    found = _FRAME.search(entry)
    if found is None:
        return None
    path = found["path"]
    return {
        "filename": path,
        "lineno": int(found["line"]),
        "function": found["name"].strip(),
        "in_app": "viral_platform" in path and "site-packages" not in path,
    }


def _known(tags: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in tags.items() if value}
