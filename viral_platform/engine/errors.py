"""The one error hierarchy.

    ViralPlatformError
    ├── ConfigurationError          a setting is missing or contradicts another
    ├── InputError                  what was given cannot be used
    │   ├── UnreadableFileError     a file cannot be read: path and position
    │   ├── ItemRejectedError       one scraped item fails validation: field and reason
    │   ├── CalibrationInputError   predictions or outcomes out of range or of unequal length
    │   ├── NotEnoughDataError      too few rows for the work: n and the minimum
    │   └── NotFoundError           no such version, analysis or row
    ├── GateRefusedError            a verdict forbids the step
    └── OutsideServiceError         something outside this process failed
        └── DatabaseUnavailableError

A message says what, where, what was expected and how to fix it.
"""

from __future__ import annotations

from pathlib import Path


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


class GateRefusedError(ViralPlatformError):
    """A stored verdict forbids the step: the bar was not reached."""


class OutsideServiceError(ViralPlatformError):
    """Something outside this process failed; trying again later may help."""


class DatabaseUnavailableError(OutsideServiceError):
    """PostgreSQL cannot be reached or does not answer in time."""
