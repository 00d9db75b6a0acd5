"""Whop's wire format: memberships in both of its generations, signed messages, refusals.

Field names, event names and keys of signatures are of two generations, and both are in use.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, Final, Literal

import httpx
from pydantic import AfterValidator, Field, ValidationError, WrapValidator

from viral_platform.engine.errors import ConfigurationError, ProviderError
from viral_platform.engine.subscriptions import (
    ACTIVE,
    CANCELED,
    COMPLETED,
    PAST_DUE,
    RUNNING,
    Membership,
)
from viral_platform.providers.calls import Failure
from viral_platform.providers.wire import (
    WireModel,
    connection_failure,
    http_failure,
    or_none,
    retry_after_seconds,
)

PROVIDER: Literal["whop"] = "whop"
# A message is taken within so many seconds of its time, either way.
TOLERANCE_SECONDS: Final = 300
# Where the replaced system's purchases bear the account.
ACCOUNT_KEY: Final = "supabase_user_id"

# Within these, time can be reckoned with.
_FIRST_YEAR, _LAST_YEAR = 1970, 9000
_LONGEST_ACCOUNT = 200
_ID = r"^[A-Za-z0-9_.-]{1,128}$"
_HEADERS = ("webhook", "svix")
_SECRET_PREFIX = "whsec_"  # noqa: S105  a name
_MESSAGE_ID = re.compile(_ID)
_SECONDS = re.compile(r"[0-9]{1,11}", re.ASCII)
_EVENT = re.compile(r"[a-z_]{1,40}\.[a-z_.]{1,60}", re.ASCII)
_BEGAN = frozenset({"membership.activated", "membership.went_valid"})
_ENDED = frozenset({"membership.deactivated", "membership.went_invalid"})
_UNPAID = "membership.payment_failed"
_TOLD = frozenset({"membership.updated", "membership.trial_ending_soon"})


def _aware(value: datetime | None) -> datetime | None:
    if value is None:
        return None
    if not _FIRST_YEAR <= value.year <= _LAST_YEAR:
        raise ValueError("out of range")
    return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


# ISO text of today, Unix seconds of before.
_Instant = Annotated[datetime | None, AfterValidator(_aware)]
_Id = Annotated[str, Field(pattern=_ID)]


class _Named(WireModel):
    id: Annotated[_Id | None, WrapValidator(or_none)] = None


class _Membership(WireModel):
    """A membership, as far as it is read: parts of today nested, those of before flat."""

    id: _Id
    status: Annotated[str | None, Field(pattern=r"^[a-z_]{1,40}$")] = None
    valid: bool | None = None
    product: _Named | None = None
    product_id: _Id | None = None
    user: _Named | None = None
    user_id: _Id | None = None
    renewal_period_end: _Instant = None
    expires_at: _Instant = None
    cancel_at_period_end: bool | None = None
    updated_at: _Instant = None
    metadata: Annotated[dict[str, Any] | None, WrapValidator(or_none)] = None


class _Event(WireModel):
    type: str | None = None
    action: str | None = None
    event: str | None = None
    timestamp: Annotated[_Instant, WrapValidator(or_none)] = None
    data: Annotated[dict[str, Any] | None, WrapValidator(or_none)] = None


class _PageInfo(WireModel):
    end_cursor: str | None = None
    has_next_page: bool


class _Error(WireModel):
    type: str


class _ErrorBody(WireModel):
    error: _Error


class MembershipsBody(WireModel):
    """A page of memberships; what each of them is is judged one by one."""

    data: list[Any]
    page_info: _PageInfo


class UnreadableMembershipError(Exception):
    """What came is no membership: names the fields that do not fit, never their values."""


@dataclass(frozen=True, slots=True)
class Message:
    """A signed message. `membership` is None for events that are of none."""

    id: str
    event: str
    membership: Membership | None


def read_membership(document: object, *, event: str | None = None, sent_at: datetime) -> Membership:
    """Return the membership that a document of either generation shows.

    Parameters
    ----------
    document : object
        A JSON value.
    event : str, optional
        What happened to it, which decides where the status does not fit.
    sent_at : datetime
        Stands in when the document does not say when it was so.

    Raises
    ------
    UnreadableMembershipError
        It is none, or its status cannot be told.
    """
    try:
        read = _Membership.model_validate(document)
    except ValidationError as error:
        fields = sorted({".".join(map(str, fault["loc"])) for fault in error.errors()})
        raise UnreadableMembershipError(", ".join(fields) or "no object") from None
    status = _status(read, event)
    if status is None:
        raise UnreadableMembershipError("status")
    whop_user_id = read.user_id or (read.user.id if read.user else None)
    return Membership(
        id=read.id,
        status=status,
        as_of=read.updated_at or sent_at,
        account=_account(read) or whop_user_id,
        whop_user_id=whop_user_id,
        product_id=read.product_id or (read.product.id if read.product else None),
        period_end=read.renewal_period_end or read.expires_at,
        cancel_at_period_end=bool(read.cancel_at_period_end),
        is_dated=read.updated_at is not None,
    )


def _account(read: _Membership) -> str | None:
    name = (read.metadata or {}).get(ACCOUNT_KEY)
    if not isinstance(name, str) or not name.isprintable() or len(name) > _LONGEST_ACCOUNT:
        return None
    return name.strip() or None


def _status(read: _Membership, event: str | None) -> str | None:
    if event == _UNPAID:
        return PAST_DUE
    told = read.status
    if told is None:
        if event in _BEGAN or read.valid:
            told = ACTIVE
        elif event in _ENDED or read.valid is False:
            told = CANCELED
    has_gone = event in _ENDED or read.valid is False
    return CANCELED if has_gone and told in {*RUNNING, COMPLETED} else told


def read_message(headers: Mapping[str, str], document: object) -> Message:
    """Return the message that a body is whose signature holds.

    Raises
    ------
    UnreadableMembershipError
        It names no event, or an event of a membership without a readable one.
    """
    message_id, sent, _ = _signed_by(headers)
    sent_at = datetime.fromtimestamp(int(sent), UTC)
    try:
        read = _Event.model_validate(document)
    except ValidationError:
        raise UnreadableMembershipError("type") from None
    name = read.type or read.action or read.event or ""
    if "." not in name:
        name = name.replace("_", ".", 1)
    if not _EVENT.fullmatch(name):
        raise UnreadableMembershipError("type")
    if name not in {*_BEGAN, *_ENDED, *_TOLD, _UNPAID}:
        return Message(message_id, name, None)
    membership = read_membership(read.data, event=name, sent_at=read.timestamp or sent_at)
    return Message(message_id, name, membership)


def is_signed(headers: Mapping[str, str], body: bytes, *, secret: str, now: datetime) -> bool:
    """Return whether a message was signed with the secret, of late.

    HMAC-SHA256 over `id.timestamp.body`, in Base64 after `v1,`; of several signatures one has to
    hold. Standard Webhooks 1.0.

    Parameters
    ----------
    headers : mapping of str
        Lower-case names, `webhook-*` or `svix-*`.
    body : bytes
        As it came.
    secret : str
        `whsec_` and Base64, or a text whose bytes are the key.

    Raises
    ------
    ConfigurationError
        The secret is empty, or no Base64 after `whsec_`.
    """
    key = _signing_key(secret)
    message_id, sent, signatures = _signed_by(headers)
    if not _MESSAGE_ID.fullmatch(message_id) or not _SECONDS.fullmatch(sent):
        return False
    if abs(now.timestamp() - int(sent)) > TOLERANCE_SECONDS:
        return False
    expected = signature(key, message_id, sent, body).encode()
    shown = [one.encode("utf-8", "surrogateescape") for one in signatures.split(" ")]
    return any(hmac.compare_digest(one, expected) for one in shown)


def signature(key: bytes, message_id: str, sent: str, body: bytes) -> str:
    """Return the signature of a message, as its header bears it."""
    digest = hmac.new(key, f"{message_id}.{sent}.".encode() + body, hashlib.sha256).digest()
    return f"v1,{base64.b64encode(digest).decode()}"


def _signing_key(secret: str) -> bytes:
    bare = secret.strip()
    key = bare.encode()
    if bare.startswith(_SECRET_PREFIX):
        try:
            key = base64.b64decode(bare.removeprefix(_SECRET_PREFIX), validate=True)
        except (binascii.Error, ValueError):
            key = b""
    if not key:
        raise ConfigurationError("WHOP_WEBHOOK_SECRET: this is no secret. Copy it again.")
    return key


def _signed_by(headers: Mapping[str, str]) -> tuple[str, str, str]:
    """Return id, time and signatures, by the names of one generation; empty where they lack."""
    prefix = next((name for name in _HEADERS if f"{name}-id" in headers), _HEADERS[0])
    message_id, sent, signatures = (
        headers.get(f"{prefix}-{part}", "") for part in ("id", "timestamp", "signature")
    )
    return message_id, sent, signatures


def refusal(response: httpx.Response, content: bytes, now: datetime) -> ProviderError:
    """Return the error that an answer with an error status stands for."""
    try:
        word: str | None = _ErrorBody.model_validate_json(content).error.type
    except ValidationError:
        word = None
    wait = retry_after_seconds(response.headers.get("retry-after"), now)
    return http_failure(PROVIDER, response.status_code, word=word, retry_after=wait).error


def broken(error: httpx.HTTPError) -> Failure:
    """Return the failure that an exception of the HTTP layer stands for."""
    unknown = ProviderError(PROVIDER, "unreachable", type(error).__name__)
    return connection_failure(PROVIDER, error) or Failure(unknown, is_free=False)
