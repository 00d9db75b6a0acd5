"""Error reports to Sentry: on when a DSN is set, with secrets and captions scrubbed."""

from __future__ import annotations

from typing import Any, cast

import sentry_sdk
from sentry_sdk.integrations.logging import LoggingIntegration
from sentry_sdk.transport import Transport
from sentry_sdk.types import Event, Hint

from viral_platform.observability.scrubbing import scrub_value
from viral_platform.settings import Settings

_PRIVATE_KEYS = frozenset(
    {"caption", "content_text", "text", "transcript", "creator_handle", "handle", "item"}
)


def scrub_event(event: Event, _hint: Hint) -> Event:
    """Return the event without secrets, captions and handles."""
    return cast("Event", scrub_value(dict(event), private=_PRIVATE_KEYS))


def configure_sentry(settings: Settings, *, transport: Transport | None = None) -> bool:
    """Start error reports when `SENTRY_DSN` is set; return whether they are on.

    Local variables of frames are never sent: they hold captions and handles. Logged errors are
    breadcrumbs and no events of their own: what is to be reported is captured where it is caught.
    For the same reason no library is watched: a call that is tried again is no event for each try.
    """
    if settings.sentry_dsn is None:
        return False
    options: dict[str, Any] = {} if transport is None else {"transport": transport}
    sentry_sdk.init(
        dsn=settings.sentry_dsn.get_secret_value(),
        environment=settings.viral_environment,
        before_send=scrub_event,
        include_local_variables=False,
        integrations=[LoggingIntegration(event_level=None)],
        auto_enabling_integrations=False,
        max_request_body_size="never",
        **options,
    )
    return True
