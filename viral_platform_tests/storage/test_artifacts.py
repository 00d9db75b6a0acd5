from __future__ import annotations

import hashlib
import stat
from pathlib import Path

import pytest

from viral_platform.engine.errors import InputError, NotFoundError
from viral_platform.storage.artifacts import ArtifactStore


@pytest.fixture
def store(tmp_path: Path) -> ArtifactStore:
    return ArtifactStore(tmp_path / "home" / "artifacts")


@pytest.mark.parametrize("content", [b"", b"a model", b"\x00\xff" * 100_000])
def test_content_comes_back_under_its_digest(store: ArtifactStore, content: bytes) -> None:
    digest = store.save(content)
    assert digest == hashlib.sha256(content).hexdigest()
    assert store.load(digest) == content


def test_the_same_content_is_stored_once(store: ArtifactStore) -> None:
    digest = store.save(b"a model")
    written = store.path(digest).stat().st_mtime_ns
    assert store.save(b"a model") == digest
    assert store.path(digest).stat().st_mtime_ns == written
    assert list(store.path(digest).parent.iterdir()) == [store.path(digest)]


def test_the_folder_is_readable_by_its_owner_alone(store: ArtifactStore, tmp_path: Path) -> None:
    """The folder took the process's default mode, whatever the docstring promised."""
    store.save(b"a model")
    mode = (tmp_path / "home" / "artifacts").stat().st_mode
    assert stat.S_IMODE(mode) == 0o700


def test_content_that_is_not_here_is_named(store: ArtifactStore) -> None:
    with pytest.raises(NotFoundError, match="0123456789ab"):
        store.load("0123456789ab" + "0" * 52)


def test_a_file_that_was_changed_is_refused(store: ArtifactStore) -> None:
    digest = store.save(b"a model")
    store.path(digest).write_bytes(b"another")
    with pytest.raises(InputError, match="changed after it was stored"):
        store.load(digest)


def test_saving_again_repairs_a_file_that_was_changed(store: ArtifactStore) -> None:
    """A damaged model could never be stored again: training it anew gives the same digest."""
    digest = store.save(b"a model")
    store.path(digest).write_bytes(b"a mod")
    store.save(b"a model")
    assert store.load(digest) == b"a model"
