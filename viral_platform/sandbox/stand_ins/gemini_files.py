"""The Files API of Gemini: resumable uploads, and files that take a moment to be usable."""

from __future__ import annotations

import base64
import hashlib
import itertools
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Literal

from viral_platform.sandbox.stand_ins.exchange import Answer, Document, Received, as_json
from viral_platform.sandbox.stand_ins.faults import Fault
from viral_platform.sandbox.stand_ins.gemini_wire import cancelled, error
from viral_platform.sandbox.stand_ins.gemini_wire import field as wire_field

KEPT_FOR = timedelta(hours=48)
POLLS_WHILE_PROCESSING = 1
DEFAULT_PAGE_SIZE = 10

State = Literal["PROCESSING", "ACTIVE", "FAILED"]


@dataclass
class StoredFile:
    """A finished upload; `seconds` is its length as a video, 1 when it does not say."""

    name: str
    uri: str
    display_name: str | None
    mime_type: str
    size_bytes: int
    sha256: str
    seconds: float
    created_at: datetime
    state: State = "PROCESSING"
    polls: int = 0

    def document(self) -> Document:
        """Return the file as the API shows it."""
        created = self.created_at.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        shown: Document = {
            "name": self.name,
            "displayName": self.display_name,
            "mimeType": self.mime_type,
            "sizeBytes": str(self.size_bytes),
            "createTime": created,
            "updateTime": created,
            "expirationTime": (self.created_at + KEPT_FOR).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
            "sha256Hash": base64.b64encode(self.sha256.encode()).decode(),
            "uri": self.uri,
            "state": self.state,
            "source": "UPLOADED",
        }
        if self.state == "ACTIVE":
            shown["videoMetadata"] = {"videoDuration": f"{self.seconds:g}s"}
        if self.state == "FAILED":
            shown["error"] = {"code": 3, "message": "The file could not be processed."}
        return {key: value for key, value in shown.items() if value is not None}


@dataclass
class _Upload:
    mime_type: str
    display_name: str | None
    size_bytes: int | None
    content: bytearray = field(default_factory=bytearray)


class FileStore:
    """Uploads under way and files."""

    def __init__(self) -> None:
        self._uploads: dict[str, _Upload] = {}
        self._files: dict[str, StoredFile] = {}
        self._ids = itertools.count(1)

    def names(self) -> list[str]:
        """Return the names of the files, oldest first."""
        return list(self._files)

    def clear(self) -> None:
        """Drop all files and uploads."""
        self._uploads.clear()
        self._files.clear()

    def usable(self, uri: str) -> StoredFile | Answer:
        """Return the file at an address when a prompt may name it, else the error."""
        name = f"files/{uri.rpartition('/files/')[2]}"
        found = self._files.get(name)
        if found is None:
            return error(
                403,
                f"You do not have permission to access the File {name} or it may not exist.",
            )
        if found.state != "ACTIVE":
            return error(
                400,
                f"The File {name} is not in an ACTIVE state and usage is not allowed.",
                named="FAILED_PRECONDITION",
            )
        return found

    def answer(self, request: Received, parts: dict[str, str]) -> Answer:
        """Handle the start of an upload, a listing, a look at a file, a deletion."""
        if request.operation == "upload_start":
            return self._start(request)
        if request.operation == "file_list":
            return self._list(request)
        name = f"files/{parts['id']}"
        found = self._files.get(name)
        if found is None:
            return error(
                403,
                f"You do not have permission to access the File {parts['id']} or it may not exist.",
            )
        if request.operation == "file_delete":
            del self._files[name]
            return as_json({})
        return as_json(_polled(found, request).document())

    def upload(self, request: Received, version: str) -> Answer:
        """Take a piece of an upload; the last one makes the file."""
        upload = self._uploads.get(request.query["upload_id"])
        commands = request.headers.get("x-goog-upload-command", "").replace(" ", "").split(",")
        offset = request.headers.get("x-goog-upload-offset")
        if upload is None or "upload" not in commands or offset != str(len(upload.content)):
            return cancelled(error(400))
        upload.content += request.body
        if "finalize" not in commands:
            return Answer(200, (b"",), {"x-goog-upload-status": "active"})
        del self._uploads[request.query["upload_id"]]
        if upload.size_bytes not in {None, len(upload.content)}:
            return cancelled(error(400, "The upload has another size than was announced."))
        made = self._make(upload, f"{request.base_url}/{version}")
        return as_json({"file": made.document()}, headers={"x-goog-upload-status": "final"})

    def _start(self, request: Received) -> Answer:
        asked = wire_field(request.document() or {}, "file") or {}
        headers = request.headers
        command = headers.get("x-goog-upload-command")
        if headers.get("x-goog-upload-protocol") != "resumable" or command != "start":
            return error(400, "Only resumable uploads are known here.")
        mime_type = headers.get("x-goog-upload-header-content-type")
        size = headers.get("x-goog-upload-header-content-length")
        upload_id = f"upload-{next(self._ids)}"
        self._uploads[upload_id] = _Upload(
            mime_type=mime_type or str(wire_field(asked, "mimeType")),
            display_name=wire_field(asked, "displayName"),
            size_bytes=None if size is None else int(size),
        )
        url = f"{request.base_url}{request.path}?upload_id={upload_id}&upload_protocol=resumable"
        return Answer(200, (b"",), {"x-goog-upload-url": url, "x-goog-upload-status": "active"})

    def _make(self, upload: _Upload, address: str) -> StoredFile:
        digest = hashlib.sha256(upload.content).hexdigest()
        name = f"files/{digest[:8]}{next(self._ids):04d}"
        file = StoredFile(
            name=name,
            uri=f"{address}/{name}",
            display_name=upload.display_name,
            mime_type=upload.mime_type,
            size_bytes=len(upload.content),
            sha256=digest,
            seconds=video_seconds(bytes(upload.content)),
            created_at=datetime.now(UTC),
        )
        self._files[name] = file
        return file

    def _list(self, request: Received) -> Answer:
        size = int(request.query.get("pageSize", DEFAULT_PAGE_SIZE))
        start = int(request.query.get("pageToken", 0))
        files = list(self._files.values())
        document: Document = {"files": [file.document() for file in files[start : start + size]]}
        if start + size < len(files):
            document["nextPageToken"] = str(start + size)
        return as_json(document)


def video_seconds(content: bytes) -> float:
    """Return the length that an MP4's movie header states, 1 for anything else.

    The header is the box `mvhd` of ISO 14496-12, section 8.2.2.
    """
    start = content.find(b"mvhd")
    header = content[start + 4 : start + 36]
    if start < 0 or len(header) < 32:
        return 1.0
    at, width = (20, 8) if header[0] == 1 else (12, 4)
    timescale = int.from_bytes(header[at : at + 4])
    duration = int.from_bytes(header[at + 4 : at + 4 + width])
    return duration / timescale if timescale and duration else 1.0


def _polled(file: StoredFile, request: Received) -> StoredFile:
    """Let a file become usable after it was looked at, or fail when a fault says so."""
    if request.planned and request.planned.fault is Fault.FILE_FAILED:
        file.state = "FAILED"
    if file.state == "PROCESSING":
        file.polls += 1
        if file.polls > POLLS_WHILE_PROCESSING:
            file.state = "ACTIVE"
    return file
