"""Pages of a dataset judged: here, and for a long dataset in a second process.

Decoding holds the interpreter, so that each of the many statements that store a page would wait
for it; in a process of its own it does not.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice

from viral_platform.providers.apify_datasets import DatasetPage
from viral_platform.services.ingestion.decoding import (
    Judge,
    JudgedBatch,
    Request,
    SecondProcess,
    Setting,
)
from viral_platform.services.ingestion.field_names import FieldSample, sample_fields
from viral_platform.services.ingestion.pipeline import RECOGNITION_ITEMS, recognise

# The second process needs a second to start: a shorter dataset is done by then.
LONG_DATASET_ITEMS = 20_000
_USUAL_SOURCE = "clockworks"


@dataclass(frozen=True, slots=True)
class JudgedPage:
    """A page as it was read, the shape of its items, and what became of them."""

    read: DatasetPage
    source: str
    batch: JudgedBatch
    fields: FieldSample = field(default_factory=FieldSample)

    @property
    def is_end(self) -> bool:
        """Whether no row lies behind the cursor, as far as is known."""
        return self.read.next_offset == self.read.offset

    @property
    def was_emptied(self) -> bool:
        """Whether the dataset has lost what was read of it before."""
        return self.is_end and self.read.total == 0 and self.read.offset > 0


class PageJudge:
    """Judges the pages of one dataset, for one thread.

    Parameters
    ----------
    crawled_at : datetime
        The crawl time of items that carry none.
    """

    def __init__(self, crawled_at: datetime) -> None:
        self._crawled_at = crawled_at
        self._second: SecondProcess | None = None
        self._second_source = ""

    def judged(self, page: DatasetPage, now: datetime) -> JudgedPage:
        """Judge a page by the shape of its first items; what has none of the shapes is rejected."""
        if not page.items:
            return JudgedPage(page, _USUAL_SOURCE, JudgedBatch(0, 0, 0, [], b""))
        shapes = map(recognise, islice(page.items, RECOGNITION_ITEMS))
        source = next(filter(None, shapes), _USUAL_SOURCE)
        setting = Setting(source, self._crawled_at, None, now)
        request = Request(page.offset + 1, list(page.items))
        batch = self._batch(setting, request, page.total - page.offset)
        return JudgedPage(page, source, batch, sample_fields(page.items))

    def close(self) -> None:
        """End the second process, if there is one."""
        if self._second is not None:
            self._second.close()
            self._second = None

    def _batch(self, setting: Setting, request: Request, items_left: int) -> JudgedBatch:
        if self._second is None and items_left >= LONG_DATASET_ITEMS and (os.cpu_count() or 1) > 1:
            self._second, self._second_source = SecondProcess(), setting.source
            self._second.prepare(setting)
        second = self._second
        if second is not None and self._second_source == setting.source and second.is_free():
            return second.judged(request).result()
        return Judge(setting).judged(request)
