"""Content-addressed files under `VIRAL_HOME/artifacts`: named by their SHA-256, never changed."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from viral_platform.engine.errors import InputError, NotFoundError


class ArtifactStore:
    """Bytes by the SHA-256 of their content.

    Parameters
    ----------
    folder : Path
        Made at the first write, readable by its owner alone.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def path(self, sha256: str) -> Path:
        """Return where the content with this digest lies, present or not."""
        return self._folder / sha256[:2] / sha256

    def save(self, content: bytes) -> str:
        """Store `content` and return its digest; a file that is there and whole is left alone."""
        sha256 = hashlib.sha256(content).hexdigest()
        target = self.path(sha256)
        if not target.exists() or target.read_bytes() != content:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            target.parent.mkdir(exist_ok=True)
            partial = target.with_suffix(f".{os.getpid()}")
            partial.write_bytes(content)
            partial.replace(target)
        return sha256

    def load(self, sha256: str) -> bytes:
        """Return the content with this digest.

        Raises
        ------
        NotFoundError
            It is not here.
        InputError
            The file no longer has this digest.
        """
        try:
            content = self.path(sha256).read_bytes()
        except FileNotFoundError:
            raise NotFoundError(
                f"Artifact {sha256[:12]} is not under {self._folder}. Was VIRAL_HOME moved?"
            ) from None
        if hashlib.sha256(content).hexdigest() != sha256:
            raise InputError(f"Artifact {self.path(sha256)} was changed after it was stored.")
        return content
