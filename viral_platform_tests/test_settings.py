from __future__ import annotations

from pathlib import Path

import pytest

from viral_platform.engine.errors import ConfigurationError
from viral_platform.settings import PROJECT_ROOT, Settings, env_example, load_settings


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No `.env` of the developer is read."""
    monkeypatch.chdir(tmp_path)


def test_the_example_file_is_the_one_made_from_the_settings() -> None:
    assert (PROJECT_ROOT / ".env.example").read_text("utf-8") == env_example()


def test_the_example_names_every_setting_and_marks_the_secret_ones() -> None:
    blocks = env_example().split("\n\n")[1:]
    assert len(blocks) == len(Settings.model_fields)
    secret = {block.split("\n")[1] for block in blocks if block.split("\n")[0].endswith("Secret.")}
    assert {"# VIRAL_DATABASE_URL=", "# SENTRY_DSN=", "# GEMINI_API_KEY="} <= secret
    named = ("_KEY=", "_TOKEN=", "_DSN=", "_SECRET=", "_DATABASE_URL=")
    assert secret == {line for block in blocks if (line := block.split("\n")[1]).endswith(named)}


def test_every_setting_of_the_example_can_be_set_as_it_stands(tmp_path: Path) -> None:
    """An empty value was taken as given: an empty DSN switched error reports on."""
    lines = [line.removeprefix("# ") for line in env_example().splitlines()]
    names = {name.upper() for name in Settings.model_fields}
    chosen = [line for line in lines if line.split("=")[0] in names]
    assert len(chosen) == len(names)
    (tmp_path / ".env").write_text("\n".join(chosen), "utf-8")
    assert load_settings() == Settings(_env_file=None)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("LOG_LEVEL", "chatty-hunter2"),
        ("VIRAL_ENVIRONMENT", "hunter2"),
        ("DAGSTER_WEBSERVER_PORT", "hunter2"),
        ("DAGSTER_CODE_SERVER_PORT", "70000"),
        ("TREND_WINDOW_HOURS", "1"),
    ],
)
def test_a_bad_value_is_reported_by_the_name_of_its_setting_alone(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigurationError, match=name) as caught:
        load_settings()
    assert "hunter2" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_every_bad_setting_is_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOG_LEVEL", "chatty")
    monkeypatch.setenv("TREND_WINDOW_HOURS", "none")
    with pytest.raises(ConfigurationError, match=r"LOG_LEVEL.*TREND_WINDOW_HOURS"):
        load_settings()


def test_a_file_beside_the_process_is_read(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("TREND_WINDOW_HOURS=24\nSOMETHING_ELSE=1\n", "utf-8")
    assert load_settings().trend_window_hours == 24


def test_secrets_are_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VIRAL_DATABASE_URL", "postgresql://viral:hunter2@db/viral")
    assert "hunter2" not in repr(load_settings())


def test_the_folders_of_an_installation_lie_under_its_home(tmp_path: Path) -> None:
    settings = Settings(viral_home=Path("here"), _env_file=None)
    assert settings.home == tmp_path / "here"
    assert settings.artifacts == tmp_path / "here" / "artifacts"
    assert settings.dagster_home == tmp_path / "here" / "dagster"
