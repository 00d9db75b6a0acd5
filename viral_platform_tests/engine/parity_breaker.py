"""The breaker through the recorded steps of the replaced one, and where it departs.

A recorded verdict names no call. It belongs here to the last check that passed, else to a call of
its own that asks first. Refused, such a call has no verdict: that is where the two part, since
the replaced breaker counted it while it was open (67) and a success of an old call closed it (69).
A check is a call's own question here too, not a look that takes the probe (70).
"""

from __future__ import annotations

from typing import Any

from viral_platform.engine.errors import ProviderError
from viral_platform.providers.breaker import CircuitBreaker, Permit

Steps = list[dict[str, Any]]
WAITS_MS = (1000, 3000, 9000)


def replay(steps: Steps) -> list[dict[str, Any]]:
    """Return the recorded shape of each step, from our breaker."""
    now_ms = 0
    breaker = CircuitBreaker("deepseek", clock=lambda: now_ms / 1000)
    permit: Permit | None = None
    retry_at_ms: int | None = None
    shown = []
    for step in steps:
        now_ms = step["at_ms"]
        is_check = step["op"] == "check"
        is_blocked = False
        if is_check or permit is None:
            try:
                asked = breaker.acquire()
            except ProviderError:
                is_blocked = True
            else:
                permit = asked
        if not is_check and permit is not None:
            (permit.success if step["op"] == "ok" else permit.failure)()
            permit = None
        state = breaker.state()
        if state.status == "open":
            retry_at_ms = now_ms + round(1000 * (state.retry_in_seconds or 0))
        elif state.status == "closed":
            retry_at_ms = None
        openings = 0 if state.status == "closed" else min(state.consecutive_failures - 2, 2)
        shown.append(
            {
                "blocked": is_blocked if is_check else None,
                "status": state.status.replace("_", "-"),
                "consecutive_failures": state.consecutive_failures,
                "backoff_index": openings,
                "retry_at_ms": retry_at_ms,
                "probe_in_flight": state.status == "half_open",
            }
        )
    return shown


def departs(case_input: dict[str, Any]) -> bool:
    """Tell whether a verdict comes while the breaker is open, from no call that passed."""
    return any(is_refused_verdict for _, is_refused_verdict in _walk(case_input["steps"]))


def right(case_input: dict[str, Any]) -> list[dict[str, Any]]:
    """Return what is right at each step: a verdict without a call that passed changes nothing."""
    return [shown for shown, _ in _walk(case_input["steps"])]


def _walk(steps: Steps) -> list[tuple[dict[str, Any], bool]]:
    failures, retry_at = 0, None
    is_probing = False
    walked = []
    for step in steps:
        at, operation = step["at_ms"], step["op"]
        is_open = retry_at is not None
        is_kept_out = is_open and (at < retry_at or (is_probing and operation == "check"))
        if is_probing and operation != "check":
            is_kept_out = False
        if operation == "check":
            is_probing = is_probing or (is_open and not is_kept_out)
        elif not is_kept_out and operation == "ok":
            failures, retry_at, is_probing = 0, None, False
        elif not is_kept_out:
            failures += 1
            is_probing = False
            if failures >= 3:
                retry_at = at + WAITS_MS[min(failures - 3, 2)]
        status = "closed" if retry_at is None else "half-open" if is_probing else "open"
        walked.append(
            (
                {
                    "blocked": is_kept_out if operation == "check" else None,
                    "status": status,
                    "consecutive_failures": failures,
                    "backoff_index": 0 if retry_at is None else min(failures - 2, 2),
                    "retry_at_ms": retry_at,
                    "probe_in_flight": is_probing,
                },
                operation != "check" and is_kept_out,
            )
        )
    return walked
