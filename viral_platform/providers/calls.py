"""The one way to ask a language model: leave of the breaker, money set aside, a deadline, retries.

Each attempt asks the breaker anew and gives it one verdict; each is paid for by itself. How a
provider is spoken to, and what it is asked, does not belong here.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Generic, TypeVar

import stamina

from viral_platform.engine.errors import FailureReason, ProviderError
from viral_platform.engine.spend import Meter
from viral_platform.engine.tasks import Answered
from viral_platform.observability.logging import get_logger
from viral_platform.providers.breaker import CircuitBreaker
from viral_platform.providers.budget import Budget, PaidCall
from viral_platform.providers.pricing import Pricing, Usage

log = get_logger(__name__)

Value = TypeVar("Value")

# What a provider's frame around messages may add to the tokens of their text.
FRAME_TOKENS = 64


@dataclass(frozen=True, slots=True)
class Waits:
    """Seconds before the second attempt; each later wait is `factor` times as long.

    Up to `jitter` seconds are added at random, so that callers do not come back all at once.
    """

    first: float = 1.0
    factor: float = 3.0
    jitter: float = 0.5

    def after(self, attempt: int) -> float:
        """Return the seconds to wait after an attempt, counted from 1."""
        spread = random.uniform(0, self.jitter)  # noqa: S311  no secret hangs on it
        return self.first * self.factor ** (attempt - 1) + spread


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a question may take: one attempt, all of them with their waits, and how many."""

    attempt_seconds: float
    total_seconds: float
    attempts: int = 3


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try, counted from 1: what became of the one before, and whether any reply was cut."""

    number: int = 1
    previous: FailureReason | None = None
    was_cut: bool = False

    def token_limit(self, usual: int) -> int:
        """Return how long the reply may be: twice as long once one was cut."""
        return 2 * usual if self.was_cut else usual


@dataclass(frozen=True, slots=True)
class Size:
    """Tokens that a call can use at most; audio ones are among the input."""

    input_tokens: int
    output_tokens: int
    audio_input_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back. `usage` is None when it was not told, `fault` says why `text` is no use."""

    text: str
    model: str | None
    usage: Usage | None
    fault: ProviderError | None = None


@dataclass(frozen=True, slots=True)
class Failure:
    """A call that brought no reply; `is_free` when nothing was processed for sure."""

    error: ProviderError
    is_free: bool


@dataclass(frozen=True, slots=True)
class Question(Generic[Value]):
    """What is asked.

    `send` makes one request; `parse` reads the text of its reply or refuses it with a
    ProviderError. `prepare` comes before each attempt and costs nothing.
    """

    operation: str
    prompt_version: str
    patience: Patience
    size: Callable[[Attempt], Size]
    send: Callable[[Attempt], Awaitable[Reply]]
    parse: Callable[[str], Value]
    prepare: Callable[[], Awaitable[None]] | None = None


class ModelCalls:
    """Calls of one model at one provider. Safe for many requests at once on one event loop.

    Parameters
    ----------
    provider, model : str
        Who is called.
    failure : callable
        Tells what an exception of the provider's library means, None for a fault of ours.
    now : callable, optional
        Returns the present, aware; prices depend on it.

    Raises
    ------
    ConfigurationError
        The model has no price.
    """

    def __init__(
        self,
        provider: str,
        model: str,
        *,
        breaker: CircuitBreaker,
        budget: Budget,
        pricing: Pricing,
        waits: Waits,
        failure: Callable[[Exception], Failure | None],
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        pricing.require(provider, model)
        self.provider = provider
        self.model = model
        self._breaker = breaker
        self._budget = budget
        self._pricing = pricing
        self._waits = waits
        self._failure = failure
        self._now = now

    async def ask(self, question: Question[Value], meter: Meter) -> Answered[Value]:
        """Return the first usable reply.

        What can change is tried again after a wait that grows, and not before the provider said;
        no wait is begun that would not end within `total_seconds`. Cancellation passes through.

        Raises
        ------
        ProviderError
            Of the last attempt, or "circuit_open" or a budget's reason when none was made.
        """
        tries = _Tries(question.patience, self._waits)
        turns = stamina.retry_context(
            on=tries.wait_after, attempts=question.patience.attempts, timeout=None
        )
        async for turn in turns:
            with turn:
                return await self._attempt(question, tries, meter)
        raise AssertionError("the last attempt returns or raises")

    async def _attempt(
        self, question: Question[Value], tries: _Tries, meter: Meter
    ) -> Answered[Value]:
        attempt = tries.attempt
        with self._breaker.acquire() as permit:
            paid_call = self._budget.paid_call(
                meter,
                provider=self.provider,
                model=self.model,
                operation=question.operation,
                ceiling=self._ceiling(question.size(attempt)),
            )
            async with paid_call as call:
                try:
                    reply = await self._reply(question, tries, call)
                    value = question.parse(reply.text)
                except ProviderError as error:
                    if error.is_of_provider:
                        permit.failure()
                    log.warning(
                        "provider_attempt_failed",
                        provider=self.provider,
                        operation=question.operation,
                        attempt=attempt.number,
                        reason=error.reason,
                        detail=error.detail,
                        request_id=meter.request.request_id,
                    )
                    # What led to it quotes the reply, which quotes the creator.
                    raise error from None
                permit.success()
        return Answered(value, reply.model or self.model, question.prompt_version)

    async def _reply(self, question: Question[Value], tries: _Tries, call: PaidCall) -> Reply:
        try:
            if question.prepare is not None:
                with _unpaid(call):
                    async with asyncio.timeout(tries.remaining()):
                        await question.prepare()
            seconds = min(question.patience.attempt_seconds, tries.remaining())
            # The libraries' own timeouts begin anew with every byte, a blank line too.
            async with asyncio.timeout(seconds):
                reply = await question.send(tries.attempt)
        except TimeoutError:
            raise ProviderError(self.provider, "timeout", "no answer in time") from None
        except ProviderError:
            raise
        except Exception as error:
            failure = self._failure(error)
            if failure is None:
                raise
            if failure.is_free:
                call.free()
            # The library's exception may quote what was sent; it must not reach a report.
            raise failure.error from None
        if reply.usage is not None:
            call.used(reply.usage)
        if reply.fault is not None:
            raise reply.fault
        return reply

    def _ceiling(self, size: Size) -> int:
        return self._pricing.ceiling(
            self.provider,
            self.model,
            input_tokens=size.input_tokens,
            output_tokens=size.output_tokens,
            audio_input_tokens=size.audio_input_tokens,
            at=self._now(),
        )


class _Tries:
    """Where the attempts at one question stand."""

    def __init__(self, patience: Patience, waits: Waits) -> None:
        self._clock = asyncio.get_running_loop().time
        self._ends_at = self._clock() + patience.total_seconds
        self._waits = waits
        self.attempt = Attempt()

    def remaining(self) -> float:
        """Return the seconds that are left to all attempts."""
        return self._ends_at - self._clock()

    def wait_after(self, error: Exception) -> float | bool:
        """Return the seconds until the next attempt, False when there is to be none."""
        if not isinstance(error, ProviderError) or not error.is_retryable:
            return False
        before = self.attempt
        seconds = max(self._waits.after(before.number), error.retry_after or 0.0)
        if seconds >= self.remaining():
            return False
        was_cut = before.was_cut or error.reason == "truncated"
        self.attempt = Attempt(before.number + 1, error.reason, was_cut)
        return seconds


@contextmanager
def _unpaid(call: PaidCall) -> Iterator[None]:
    """Book nothing when it ends here, also when it is cancelled: nothing paid was sent yet."""
    try:
        yield
    except BaseException:
        call.free()
        raise


def token_bound(*texts: str) -> int:
    """Return a number of tokens that texts cannot exceed: no token is shorter than a byte.

    Examples
    --------
    >>> token_bound("calm river", "Đà Lạt") - FRAME_TOKENS
    20
    """
    return FRAME_TOKENS + sum(len(text.encode()) for text in texts)
