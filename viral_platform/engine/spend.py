"""What one request spends, in whole micro-dollars, by stage; and its cap.

Prices, the day's cap and the ledger do not belong here.
"""

from __future__ import annotations

import threading


class RequestSpend:
    """What one request has spent and set aside; safe for threads.

    Parameters
    ----------
    request_id : str
        Id of the prediction, under which cost events are stored.
    cap_microdollars : int, optional
        What the request may cost in all; None is no cap.
    """

    def __init__(self, request_id: str, cap_microdollars: int | None = None) -> None:
        self.request_id = request_id
        self._cap = cap_microdollars
        self._used = 0
        self._lock = threading.Lock()

    def reserve(self, microdollars: int) -> bool:
        """Set an amount aside; False, and nothing is set aside, when it would pass the cap."""
        with self._lock:
            if self._cap is not None and self._used + microdollars > self._cap:
                return False
            self._used += microdollars
            return True

    def settle(self, reserved: int, spent: int) -> None:
        """Replace an amount set aside by what was spent."""
        with self._lock:
            self._used += spent - reserved

    def meter(self, stage: str) -> Meter:
        """Return the meter of one stage."""
        return Meter(self, stage)


class Meter:
    """What one stage has spent. Every attempt counts, also one that failed or was cut off."""

    def __init__(self, request: RequestSpend, stage: str) -> None:
        self.request = request
        self.stage = stage
        self._microdollars = 0
        self._lock = threading.Lock()

    def add(self, microdollars: int) -> None:
        """Count an amount; a negative one corrects an estimate."""
        with self._lock:
            self._microdollars += microdollars

    @property
    def microdollars(self) -> int:
        """What was spent so far."""
        return self._microdollars
