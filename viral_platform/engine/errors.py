"""The one error hierarchy.

    ViralPlatformError
    ├── ConfigurationError          a setting is missing or contradicts another
    ├── InputError                  what was given cannot be used
    │   ├── UnreadableFileError     a file cannot be read: path and position
    │   ├── ItemRejectedError       one scraped item fails validation: field and reason
    │   ├── CalibrationInputError   predictions or outcomes out of range or of unequal length
    │   ├── NotEnoughDataError      too few rows for the work: n and the minimum
    │   ├── NotFoundError           no such version, analysis or row
    │   └── RefusedRequestError     a request for a prediction breaks a rule: code and fix
    ├── GateRefusedError            a verdict forbids the step
    └── OutsideServiceError         something outside this process failed
        ├── DatabaseUnavailableError
        └── ProviderError           a call to a provider gave nothing usable: reason

A message says what, where, what was expected and how to fix it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal


class ViralPlatformError(Exception):
    """Root of all errors that this project raises on purpose."""


class ConfigurationError(ViralPlatformError):
    """A setting is missing or contradicts another one."""


class InputError(ViralPlatformError):
    """What was given cannot be used; trying again with the same input cannot help."""


class UnreadableFileError(InputError):
    """A file cannot be read as what it should be; nothing of it was stored."""

    def __init__(self, path: Path, position: str, problem: str, fix: str) -> None:
        self.path = path
        self.position = position
        self.problem = problem
        self.fix = fix
        super().__init__(f"{path}, {position}: {problem}. {fix}")


class ItemRejectedError(InputError):
    """One scraped item fails validation; it goes to quarantine with this field and reason."""

    def __init__(self, field: str, reason: str, message: str) -> None:
        self.field = field
        self.reason = reason
        super().__init__(message)


class CalibrationInputError(InputError):
    """Predictions or outcomes are empty, unequal in length, not finite or out of range."""


class NotEnoughDataError(InputError):
    """Too few rows for the work that was asked."""

    def __init__(self, what: str, *, found: int, needed: int, fix: str) -> None:
        self.what = what
        self.found = found
        self.needed = needed
        self.fix = fix
        super().__init__(f"{what}: found {found}, needed {needed}. {fix}")


class NotFoundError(InputError):
    """No such version, analysis or row."""


class RefusedRequestError(InputError):
    """A request for a prediction breaks a rule; `code` is stable, `fix` says what to change."""

    def __init__(self, code: str, problem: str, fix: str) -> None:
        self.code = code
        self.problem = problem
        self.fix = fix
        super().__init__(f"{code}: {problem} {fix}")


class GateRefusedError(ViralPlatformError):
    """A stored verdict forbids the step: the bar was not reached."""


class OutsideServiceError(ViralPlatformError):
    """Something outside this process failed; trying again later may help."""


class DatabaseUnavailableError(OutsideServiceError):
    """PostgreSQL cannot be reached or does not answer in time."""


FailureReason = Literal[
    "not_configured",  # no key is set
    "circuit_open",  # its breaker lets no call through
    "budget_day",  # the day's cap is reached
    "budget_request",  # the request's cap is reached
    "ledger_unavailable",  # what is spent cannot be recorded, so nothing is spent
    "timeout",
    "unreachable",  # no connection, or it broke
    "unavailable",  # 5xx
    "rate_limited",  # 429
    "unauthorized",  # 401, 403
    "out_of_credit",  # 402
    "not_found",  # 404: no such model, actor or run
    "bad_request",  # another 4xx: a fault of ours
    "refused",  # a safety filter stopped the prompt or the answer
    "truncated",  # the answer was cut at its token limit
    "empty",  # no candidate, or blanks
    "not_json",
    "schema",  # JSON of another shape than asked for
]

_CAN_CHANGE: frozenset[FailureReason] = frozenset(
    {
        "timeout",
        "unreachable",
        "unavailable",
        "rate_limited",
        "truncated",
        "empty",
        "not_json",
        "schema",
    }
)
_OF_THE_PROVIDER: frozenset[FailureReason] = frozenset(
    {"timeout", "unreachable", "unavailable", "rate_limited", "empty", "not_json", "schema"}
)


class ProviderError(OutsideServiceError):
    """A call to a provider gave nothing usable.

    Parameters
    ----------
    provider : str
        Who was called: "gemini", "deepseek", "apify" or "whop".
    reason : FailureReason
        What kind of failure it was.
    detail : str
        The provider's own reason or what is wrong with its reply; no creator text, no secret.
    fields : sequence of str
        Paths in the reply that were refused, when it had another shape than asked for.
    retry_after : float, optional
        Seconds that the provider asked us to wait.
    """

    def __init__(
        self,
        provider: str,
        reason: FailureReason,
        detail: str,
        *,
        fields: tuple[str, ...] = (),
        retry_after: float | None = None,
    ) -> None:
        self.provider = provider
        self.reason: FailureReason = reason
        self.detail = detail
        self.fields = fields
        self.retry_after = retry_after
        super().__init__(f"{provider}: {reason}: {detail}")

    @property
    def is_retryable(self) -> bool:
        """Whether the same call may succeed a moment later."""
        return self.reason in _CAN_CHANGE

    @property
    def is_of_provider(self) -> bool:
        """Whether the provider is at fault, so that its breaker counts it.

        Our own 4xx, refusals of content, budgets and cancellations are not.
        """
        return self.reason in _OF_THE_PROVIDER
