"""A video file before it is sent anywhere: size, type, magic bytes, length.

What is seen in it is the content analyst's to judge.
"""

from __future__ import annotations

import mimetypes
from pathlib import Path

from pymediainfo import MediaInfo

from viral_platform.engine.errors import RefusedRequestError
from viral_platform.engine.tasks import VideoFile

MAX_BYTES = 50 * 1024 * 1024
MAX_SECONDS = 600.0
MIME_TYPES = ("video/mp4", "video/quicktime", "video/webm")

_HEAD_BYTES = 4096
_EBML = b"\x1a\x45\xdf\xa3"


def probe_video(path: Path) -> VideoFile:
    """Return what is known of a video file.

    Raises
    ------
    RefusedRequestError
        `video_missing`, `video_size`, `video_type`, `video_content`, `video_unreadable` or
        `video_length`.
    """
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            head = file.read(_HEAD_BYTES)
    except OSError:
        raise RefusedRequestError(
            "video_missing", "The video cannot be opened.", "Give the path of a readable file."
        ) from None
    if not 0 < size <= MAX_BYTES:
        raise RefusedRequestError(
            "video_size", f"The video has {size:,} bytes.", f"Give 1 to {MAX_BYTES:,} bytes."
        )
    named = mimetypes.guess_type(path.name)[0]
    if named not in MIME_TYPES:
        raise RefusedRequestError(
            "video_type",
            "The file's ending names no video type that is taken.",
            "Give a .mp4, .mov or .webm file.",
        )
    found = _type_of(head)
    # MP4 and QuickTime are one container; players take either under both names.
    if found is None or (named == "video/webm") != (found == "video/webm"):
        raise RefusedRequestError(
            "video_content",
            f"The file is named {named} and its first bytes say otherwise.",
            "Export the video again as MP4.",
        )
    seconds = _length(path)
    if not 0 < seconds <= MAX_SECONDS:
        raise RefusedRequestError(
            "video_length",
            f"The video is {seconds:g} seconds long.",
            f"Give at most {MAX_SECONDS:g} seconds.",
        )
    return VideoFile(path, found, size, seconds)


def _type_of(head: bytes) -> str | None:
    """Return the MIME type by the first bytes of a file, None for another kind of file."""
    if head[4:8] == b"ftyp":
        return "video/quicktime" if head[8:12] == b"qt  " else "video/mp4"
    if head.startswith(_EBML) and b"webm" in head:
        return "video/webm"
    return None


def _length(path: Path) -> float:
    """Return the seconds of the longest video track."""
    try:
        tracks = MediaInfo.parse(str(path), parse_speed=0.0).video_tracks
        lengths = [float(track.duration) / 1000 for track in tracks if track.duration is not None]
    except (OSError, RuntimeError, ValueError):
        lengths = []
    if not lengths:
        raise RefusedRequestError(
            "video_unreadable",
            "No video track with a length is found in the file.",
            "Export the video again as MP4.",
        )
    return max(lengths)
