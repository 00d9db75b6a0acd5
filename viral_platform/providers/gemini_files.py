"""A video at Gemini's Files API for the length of one question: put there, waited for, deleted.

What is asked about it does not belong here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from google.genai import types
from google.genai.client import AsyncClient

from viral_platform.engine.errors import ProviderError
from viral_platform.engine.tasks import VideoFile
from viral_platform.observability.logging import get_logger

log = get_logger(__name__)

PROVIDER = "gemini"
DELETE_SECONDS = 5.0


class Upload:
    """One video and its copy at Gemini.

    Parameters
    ----------
    client : AsyncClient
        Of the `google-genai` library.
    video : VideoFile
        A checked file.
    seconds : float
        How long upload and processing may take together.
    poll_seconds : float
        Between two looks at a file that is being processed.
    """

    def __init__(
        self, client: AsyncClient, video: VideoFile, *, seconds: float, poll_seconds: float
    ) -> None:
        self._client = client
        self._video = video
        self._seconds = seconds
        self._poll_seconds = poll_seconds
        self._file: types.File | None = None

    @property
    def part(self) -> types.Part:
        """The part of a message that shows the video, once it is ready."""
        uri = None if self._file is None else self._file.uri
        if uri is None:
            raise ProviderError(PROVIDER, "schema", "the uploaded video has no address")
        return types.Part.from_uri(file_uri=uri, mime_type=self._video.mime_type)

    async def ready(self) -> None:
        """Upload the video, or go on with the copy that is there, until it can be used.

        Raises
        ------
        ProviderError
            "bad_request" when the video cannot be read or processed.
        TimeoutError
            It took too long.
        """
        async with asyncio.timeout(self._seconds):
            file = self._file or await self._uploaded()
            while file.state is not types.FileState.ACTIVE:
                if file.state is types.FileState.FAILED:
                    raise ProviderError(PROVIDER, "bad_request", "the video cannot be processed")
                await asyncio.sleep(self._poll_seconds)
                with _readable():
                    file = await self._client.files.get(name=_name(file), config=self._options())
            self._file = file

    async def delete(self) -> None:
        """Delete the copy; a failure is logged, since Gemini drops it by itself after 48 hours."""
        if self._file is None:
            return
        try:
            async with asyncio.timeout(DELETE_SECONDS):
                await self._client.files.delete(name=_name(self._file))
        except Exception as error:  # noqa: BLE001  the answer does not depend on it
            log.warning("upload_not_deleted", provider=PROVIDER, error=type(error).__name__)

    async def _uploaded(self) -> types.File:
        config = types.UploadFileConfig(
            mime_type=self._video.mime_type, http_options=self._http_options()
        )
        try:
            content = self._video.path.open("rb")
        except OSError as error:
            raise ProviderError(PROVIDER, "bad_request", "the video cannot be read") from error
        # An open file instead of its path: the library would send the name along.
        with content, _readable():
            self._file = await self._client.files.upload(file=content, config=config)
        return self._file

    def _options(self) -> types.GetFileConfig:
        return types.GetFileConfig(http_options=self._http_options())

    def _http_options(self) -> types.HttpOptions:
        return types.HttpOptions(timeout=round(self._seconds * 1000))


def _name(file: types.File) -> str:
    if not file.name:
        raise ProviderError(PROVIDER, "schema", "the uploaded video has no name")
    return file.name


@contextmanager
def _readable() -> Iterator[None]:
    """Tell an answer of another shape as such: the library raises whatever its parser meets."""
    try:
        yield
    except (ValueError, KeyError, TypeError, AttributeError):
        raise ProviderError(PROVIDER, "schema", "the Files API's answer cannot be read") from None
