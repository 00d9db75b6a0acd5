"""Actor runs of the stand-in: how they stand, and how the API shows them."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime

from viral_platform.sandbox.stand_ins.apify_datasets import Dataset
from viral_platform.sandbox.stand_ins.apify_webhooks import Webhook
from viral_platform.sandbox.stand_ins.exchange import Document

_RUNNING = frozenset({"READY", "RUNNING"})


@dataclass(kw_only=True)
class SimulatedRun:
    """A run of an actor. Without `ends_after` it ends when it is looked at twice or waited for."""

    number: int
    actor: str
    started_at: datetime
    body_size: int
    dataset: Dataset
    usd: float
    final_status: str = "SUCCEEDED"
    ends_after: float | None = None
    webhooks: list[Webhook] = field(default_factory=list)
    polls: int = 0

    @property
    def id(self) -> str:
        """Its id."""
        return f"run{self.number:014d}"

    @property
    def dataset_id(self) -> str:
        """Id of its dataset."""
        return self.dataset.id

    def status(self, *, is_waited_for: bool) -> str:
        """Return how it stands when it is looked at."""
        if self.ends_after is None:
            return self.final_status if is_waited_for or self.polls > 1 else "RUNNING"
        elapsed = (datetime.now(UTC) - self.started_at).total_seconds()
        return self.final_status if elapsed >= self.ends_after else "RUNNING"

    def document(self, status: str, *, says_usage: bool) -> Document:
        """Return the run as the API shows it, with every field that its client requires."""
        started = self.started_at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        is_over = status not in _RUNNING
        shown: Document = {
            "id": self.id,
            "actId": "GdWCkxBtKWOsKjdch",
            "userId": "7sT5jcggjjA9fNcxF",
            "startedAt": started,
            "finishedAt": started if is_over else None,
            "status": status,
            "statusMessage": f"Simulated run of {self.actor}" if is_over else None,
            "isStatusMessageTerminal": True if is_over else None,
            "meta": {"origin": "API"},
            "stats": {"inputBodyLen": self.body_size, "restartCount": 0, "computeUnits": 0.001},
            "options": {
                "build": "latest",
                "timeoutSecs": 3600,
                "memoryMbytes": 1024,
                "diskMbytes": 2048,
            },
            "buildId": "7sTc5jAXbgnjRpgRd",
            "buildNumber": "0.0.412",
            "exitCode": 0 if status == "SUCCEEDED" else None,
            "defaultKeyValueStoreId": f"store{self.number:012d}",
            "defaultDatasetId": self.dataset.id,
            "defaultRequestQueueId": f"queue{self.number:012d}",
        }
        if says_usage:
            shown["usageTotalUsd"] = self.usd if is_over else 0
        return shown
