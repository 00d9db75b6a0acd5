"""Whether predictions can be answered now, and what an answer would lack."""

from __future__ import annotations

import asyncio
from functools import cache

from sqlalchemy.exc import SQLAlchemyError

from viral_platform.api.backend import Backend
from viral_platform.api.schemas import ProviderState, Readiness
from viral_platform.engine.errors import DatabaseUnavailableError
from viral_platform.storage import models, schema

# A probe must be told before it gives up by itself.
ASK_SECONDS = 3.0

_head_revision = cache(schema.head_revision)


async def readiness(backend: Backend) -> Readiness:
    """Return how the installation stands, within three seconds."""
    head = _head_revision()
    providers = _providers(backend)
    degraded = [name for name, state in providers.items() if state.status in {"open", "half_open"}]
    reasons = [f"{name}: its circuit breaker is {providers[name].status}" for name in degraded]
    revision = champion = None
    is_able = False
    try:
        async with asyncio.timeout(ASK_SECONDS):
            revision = await asyncio.to_thread(schema.current_revision, backend.database)
            is_able = revision == head
            if is_able:
                champion = await asyncio.to_thread(_champion, backend)
    except (DatabaseUnavailableError, SQLAlchemyError, TimeoutError):
        is_able = False
        database_answers = False
        reasons.append("database: it does not answer")
    else:
        database_answers = True
        if not is_able:
            reasons.append(
                f"migrations: tables are at {revision or 'none'}, this code expects {head}"
            )
        elif champion is None:
            degraded.append("champion")
            reasons.append("champion: no model was promoted, so answers lack its signal")
    return Readiness(
        status="unavailable" if not is_able else "degraded" if degraded else "ready",
        reasons=reasons,
        degraded=degraded,
        database="ok" if database_answers else "unavailable",
        schema_revision=revision,
        schema_head=head,
        champion=champion,
        providers=providers,
    )


def _champion(backend: Backend) -> str | None:
    record = models.champion(backend.database)
    return None if record is None else record.version


def _providers(backend: Backend) -> dict[str, ProviderState]:
    return {
        name: ProviderState(status="not_configured")
        if state is None
        else ProviderState(
            status=state.status,
            consecutive_failures=state.consecutive_failures,
            retry_in_seconds=state.retry_in_seconds,
        )
        for name, state in backend.providers().items()
    }
