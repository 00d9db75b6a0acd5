"""Video files for tests: containers with a track and its length, and no picture."""

from __future__ import annotations

import struct

TICKS = 1000
# Rotation and scale of a track that is shown as it is.
MATRIX = struct.pack(">9i", 0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000)


def box(kind: bytes, *parts: bytes) -> bytes:
    """Return one box of the container."""
    content = b"".join(parts)
    return struct.pack(">I4s", 8 + len(content), kind) + content


def mp4(seconds: float, *, brand: bytes = b"isom") -> bytes:
    """Return an MP4 or QuickTime file with one H.264 track of so many seconds."""
    ticks = int(seconds * TICKS)
    header = struct.pack(">IIIII", 0, 0, 0, TICKS, ticks)
    movie = box(
        b"mvhd", header, struct.pack(">iH10x", 0x10000, 0x100), MATRIX, b"\0" * 24,
        struct.pack(">I", 2),
    )  # fmt: skip
    track = box(
        b"tkhd", struct.pack(">IIIIII8xHHHH", 7, 0, 0, 1, 0, ticks, 0, 0, 0, 0), MATRIX,
        struct.pack(">II", 540 << 16, 960 << 16),
    )  # fmt: skip
    sample = struct.pack(">6xH16xHHII4xH32xHh", 1, 540, 960, 0x480000, 0x480000, 1, 24, -1)
    table = box(
        b"stbl",
        box(b"stsd", struct.pack(">II", 0, 1), box(b"avc1", sample)),
        box(b"stts", struct.pack(">IIII", 0, 1, 1, ticks)),
        box(b"stsc", struct.pack(">II", 0, 0)),
        box(b"stsz", struct.pack(">III", 0, 0, 0)),
        box(b"stco", struct.pack(">II", 0, 0)),
    )
    information = box(
        b"minf", box(b"vmhd", struct.pack(">IHHHH", 1, 0, 0, 0, 0)),
        box(b"dinf", box(b"dref", struct.pack(">II", 0, 1), box(b"url ", struct.pack(">I", 1)))),
        table,
    )  # fmt: skip
    media = box(
        b"mdia",
        box(b"mdhd", header, struct.pack(">HH", 0x55C4, 0)),
        box(b"hdlr", struct.pack(">II4s12x", 0, 0, b"vide"), b"video\0"),
        information,
    )
    kind = box(b"ftyp", brand, struct.pack(">I", 512), brand)
    return kind + box(b"moov", movie, box(b"trak", track, media))
