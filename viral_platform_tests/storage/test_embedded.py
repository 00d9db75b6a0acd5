from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import psycopg
import pytest
from sqlalchemy import make_url

from viral_platform.engine.errors import ConfigurationError
from viral_platform.storage import embedded


@pytest.fixture
def home() -> Iterator[Path]:
    # A short path: the server's socket lies below it.
    root = Path(tempfile.mkdtemp(prefix="viral-pg-"))
    yield root / "closed" / "home"
    embedded.stop_server(root / "closed" / "home")
    shutil.rmtree(root, ignore_errors=True)


def _one(url: str, query: str) -> object:
    with psycopg.connect(url) as connection:
        row = connection.execute(query).fetchone()
    assert row is not None
    return row[0]


def _modes(root: Path) -> dict[str, int]:
    return {str(p): stat.S_IMODE(p.lstat().st_mode) for p in (root, *root.rglob("*"))}


@pytest.mark.skipif(os.geteuid() != 0, reason="the modes change only when run as root")
def test_run_as_root_it_opens_the_folders_that_it_announced_and_nothing_else(home: Path) -> None:
    root = home.parent.parent
    root.chmod(0o700)
    home.mkdir(parents=True, mode=0o700)
    home.parent.chmod(0o700)
    secret = root / "secrets"
    secret.mkdir(mode=0o700)
    (secret / "key").touch(mode=0o600)
    (home / "note").touch(mode=0o600)
    before = _modes(root)
    announced = set(embedded.directories_to_open(home / "pg"))

    embedded.start_server(home)

    changed = {Path(p) for p, mode in _modes(root).items() if p in before and mode != before[p]}
    assert changed == {path for path in announced if path.is_relative_to(root)}
    assert changed == {root, home.parent, home}
    assert stat.S_IMODE((home / "pg").stat().st_mode) == 0o700
    assert {stat.S_IMODE((home / n).stat().st_mode) for n in ("artifacts", "dagster")} == {0o700}


def test_it_listens_on_its_socket_only(home: Path) -> None:
    url = embedded.start_server(home)
    assert _one(url, "show listen_addresses") == ""
    pid = int((home / "pg" / "postmaster.pid").read_text().split("\n", 1)[0])
    inet = [c for c in psutil.Process(pid).net_connections(kind="inet") if c.status == "LISTEN"]
    assert inet == []
    assert _one(url, "show timezone") == "UTC"


def test_committed_rows_survive_kill_nine_and_the_next_use_starts_it_again(home: Path) -> None:
    url = embedded.start_server(home)
    with psycopg.connect(url) as connection:
        connection.execute("create table kept as select 42 as answer")
    pid = int((home / "pg" / "postmaster.pid").read_text().split("\n", 1)[0])
    psutil.Process(pid).kill()

    again = embedded.start_server(home)
    assert _one(again, "select answer from kept") == 42


def test_several_processes_share_one_server(home: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from viral_platform.storage import embedded;"
        "home = Path(sys.argv[1]); embedded.start_server(home);"
        "print((home / 'pg' / 'postmaster.pid').read_text().split()[0])"
    )
    started = [
        subprocess.Popen(
            [sys.executable, "-c", program, str(home)], stdout=subprocess.PIPE, text=True
        )
        for _ in range(3)
    ]
    pids = {process.communicate(timeout=60)[0].split()[-1] for process in started}
    assert [process.returncode for process in started] == [0, 0, 0]
    assert len(pids) == 1


def test_a_pid_file_that_names_another_program_does_not_stop_the_start(home: Path) -> None:
    url = embedded.start_server(home)
    assert embedded.stop_server(home)
    assert not embedded.is_running(home)
    socket_folder = make_url(url).query["host"]
    (home / "pg" / "postmaster.pid").write_text(
        f"{os.getpid()}\n{home / 'pg'}\n1700000000\n5432\n{socket_folder}\n\n1 1\nready\n"
    )
    assert _one(embedded.start_server(home), "select 1") == 1


def test_stopping_a_server_that_does_not_run_says_so(home: Path) -> None:
    home.mkdir(parents=True)
    assert embedded.stop_server(home) is False


@pytest.mark.parametrize("below", ["", "deeper/home"], ids=["a file", "below a file"])
def test_a_home_that_cannot_be_a_folder_is_a_wrong_setting(tmp_path: Path, below: str) -> None:
    taken = tmp_path / "taken"
    taken.write_text("mine")
    with pytest.raises(ConfigurationError, match=f"VIRAL_HOME is {taken / below}"):
        embedded.start_server(taken / below)
    assert taken.read_text() == "mine"
