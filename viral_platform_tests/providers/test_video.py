from __future__ import annotations

import struct
from pathlib import Path

import pytest

from viral_platform.engine.errors import RefusedRequestError
from viral_platform.providers.video import MAX_BYTES, probe_video

from ..clips import box, mp4


def refused(path: Path) -> str:
    with pytest.raises(RefusedRequestError) as error:
        probe_video(path)
    assert error.value.fix
    return error.value.code


@pytest.mark.parametrize(
    ("name", "brand", "mime"),
    [("a.mp4", b"isom", "video/mp4"), ("a.mov", b"qt  ", "video/quicktime")],
)
def test_a_video_is_known_by_its_bytes(tmp_path: Path, name: str, brand: bytes, mime: str) -> None:
    path = tmp_path / name
    path.write_bytes(mp4(12.5, brand=brand))
    video = probe_video(path)
    assert (video.mime_type, video.duration_seconds) == (mime, 12.5)
    assert video.size_bytes == path.stat().st_size
    assert video.path == path


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    assert refused(tmp_path / "none.mp4") == "video_missing"


def test_a_folder_is_no_video(tmp_path: Path) -> None:
    assert refused(tmp_path) == "video_missing"


def test_an_empty_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    path.touch()
    assert refused(path) == "video_size"


def test_a_file_of_more_than_50_mib_is_refused_and_one_of_exactly_50_is_not(
    tmp_path: Path,
) -> None:
    path = tmp_path / "a.mp4"
    clip = mp4(5)
    path.write_bytes(clip + box(b"free", b"\0" * (MAX_BYTES - len(clip) - 8)))
    assert probe_video(path).size_bytes == MAX_BYTES
    with path.open("ab") as file:
        file.write(b"\0")
    assert refused(path) == "video_size"


def test_another_ending_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.exe"
    path.write_bytes(mp4(5))
    assert refused(path) == "video_type"


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.mp4", b"MZ" + b"\0" * 100),
        ("a.mp4", b"<svg onload=alert(1)>"),
        ("a.webm", mp4(5)),
        ("a.mp4", b"\x1a\x45\xdf\xa3" + b"\0" * 20 + b"webm" + b"\0" * 50),
        ("a.webm", b"\x1a\x45\xdf\xa3" + b"\0" * 20 + b"matroska"),
    ],
)
def test_a_name_that_the_bytes_contradict_is_refused(
    tmp_path: Path, name: str, content: bytes
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    assert refused(path) == "video_content"


def test_a_container_without_a_video_track_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(box(b"ftyp", b"isom" + struct.pack(">I", 0) + b"isom"))
    assert refused(path) == "video_unreadable"


def test_a_video_of_more_than_ten_minutes_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(mp4(601))
    assert refused(path) == "video_length"
