"""Every setting, typed and documented. `.env.example` is made from this file.

Read once at a process's edge and handed down; nothing else reads the environment.
`python -m viral_platform.settings` prints `.env.example`.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from viral_platform.engine.errors import ConfigurationError

PROJECT_ROOT = Path(__file__).resolve().parent.parent


class Settings(BaseSettings):
    """Settings of one installation, from the environment and `.env`."""

    model_config = SettingsConfigDict(
        env_file=".env", env_ignore_empty=True, extra="ignore", frozen=True
    )

    viral_home: Path = Field(
        Path(".viral"),
        description="Folder of this installation: embedded database, models, Dagster's home.",
    )
    viral_database_url: SecretStr | None = Field(
        None,
        description="PostgreSQL URL, postgresql://user:password@host:5432/viral. "
        "Unset: the embedded server under VIRAL_HOME.",
    )
    viral_environment: Literal["development", "production"] = Field(
        "development",
        description="production writes one JSON line per log event.",
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        "INFO", description="Least level of log events that are written."
    )
    sentry_dsn: SecretStr | None = Field(
        None, description="Errors go to this Sentry project. Unset: off."
    )
    gemini_api_key: SecretStr | None = Field(
        None, description="Gemini judges content and video. Unset: that signal is absent."
    )
    gemini_model: str = Field("gemini-2.5-flash", description="Model that Gemini answers with.")
    gemini_base_url: str = Field(
        "https://generativelanguage.googleapis.com", description="Where Gemini is reached."
    )
    deepseek_api_key: SecretStr | None = Field(
        None,
        description="DeepSeek predicts how viewers behave and judges the semantic rules. Unset: "
        "Gemini predicts in its place, the semantic rules are not judged.",
    )
    deepseek_model: str = Field(
        "deepseek-flash",
        description="Model that DeepSeek answers with. The retired names deepseek-chat and "
        "deepseek-reasoner mean deepseek-flash.",
    )
    deepseek_base_url: str = Field(
        "https://api.deepseek.com", description="Where DeepSeek is reached."
    )
    apify_token: SecretStr | None = Field(
        None, description="Apify reads the post behind a TikTok URL. Unset: the URL is not read."
    )
    apify_base_url: str = Field("https://api.apify.com", description="Where Apify is reached.")
    apify_actor: str = Field(
        "clockworks~tiktok-scraper", description="Actor that reads posts: user~name or id."
    )
    apify_webhook_url: str | None = Field(
        None,
        description="Address of our route POST /v1/webhooks/apify as Apify reaches it. Unset: no "
        "scrape is started on schedule.",
    )
    apify_webhook_secret: SecretStr | None = Field(
        None,
        description="What Apify shows in the header X-Webhook-Secret of its webhooks. Unset: no "
        "scrape is started on schedule.",
    )
    whop_api_key: SecretStr | None = Field(
        None, description="Whop tells who has paid. Unset: memberships are not read."
    )
    whop_base_url: str = Field("https://api.whop.com", description="Where Whop is reached.")
    whop_company_id: str | None = Field(
        None, description="Company at Whop whose memberships are read, biz_..."
    )
    whop_webhook_secret: SecretStr | None = Field(
        None,
        description="What Whop signs its webhooks with: whsec_... or ws_... Unset: "
        "POST /v1/webhooks/whop takes nothing.",
    )
    whop_product_id_starter: str | None = Field(
        None, description="Product at Whop that gives the tier starter, prod_..."
    )
    whop_product_id_pro: str | None = Field(
        None, description="Product at Whop that gives the tier pro, prod_..."
    )
    scraper_hashtags: str = Field(
        "trending,viral,fyp,comedy,dance,cooking,fitness,fashion,beauty,tech,education,"
        "storytelling,lifehack,motivation",
        description="Hashtags that are scraped every six hours, separated by commas.",
    )
    scraper_max_items: int = Field(
        2_000, ge=1, description="How many items one scrape may bring at most."
    )
    scraper_max_cents: float = Field(
        100.0,
        gt=0,
        description="What one scrape may charge at most, US cents, and 1 cent an item and 1 for "
        "its start; so much of DAILY_BUDGET_CENTS is set aside until it has ended.",
    )
    profile_cooldown_hours: float = Field(
        24.0,
        ge=0,
        description="A creator's profile that was scraped, or waits for it, is not scraped again "
        "for a changed handle within so many hours.",
    )
    competitor_videos: int = Field(
        30, ge=1, le=200, description="How many videos of each watched competitor are scraped."
    )
    daily_budget_cents: float = Field(
        500.0,
        ge=0,
        description="What all calls to providers may cost in one UTC day, US cents. Above it no "
        "call is made and answers say so.",
    )
    request_budget_cents: float = Field(
        10.0, ge=0, description="What the calls for one prediction may cost, US cents."
    )
    prediction_deadline_seconds: float = Field(
        90.0,
        gt=0,
        le=600,
        description="When a prediction is answered at the latest, with the signals there are.",
    )
    calibration_baseline_file: Path | None = Field(
        None,
        description="JSON with the benchmarks that the prompts name, in the form of the replaced "
        "system. Unset, unreadable or incomplete: the packaged figures.",
    )
    api_port: int = Field(8000, ge=1, le=65535, description="Port of the HTTP API.")
    cron_secret: SecretStr | None = Field(
        None,
        description="Bearer token that opens the admin routes of the HTTP API, as a key with the "
        "scope admin does. Unset: it opens nothing.",
    )
    dagster_webserver_port: int = Field(
        3000, ge=1, le=65535, description="Port of the Dagster UI, on 127.0.0.1."
    )
    dagster_code_server_port: int = Field(
        4266, ge=1, le=65535, description="Port of the Dagster code server, on 127.0.0.1."
    )
    trend_window_hours: int = Field(
        48,
        ge=2,
        description="Trends are computed from crawls of the last so many hours before the "
        "newest crawl.",
    )
    retention_days_answers: int = Field(
        400,
        ge=30,
        description="Answers without a measured outcome, and the requests of batches, are deleted "
        "after so many days. Answers with an outcome stay: calibration rests on them.",
    )
    retention_days_cost_events: int = Field(
        400,
        ge=32,
        description="Records of paid calls, and of scrapes, are deleted after so many days.",
    )
    retention_days_webhook_inbox: int = Field(
        30,
        ge=3,
        description="Webhook deliveries are deleted so many days after they were processed.",
    )
    retention_days_quarantine: int = Field(
        90, ge=1, description="Rejected items are deleted after so many days."
    )

    @property
    def home(self) -> Path:
        """Absolute path of the installation's folder."""
        return self.viral_home.expanduser().resolve()

    @property
    def artifacts(self) -> Path:
        """Folder of content-addressed files: training sets and models."""
        return self.home / "artifacts"

    @property
    def dagster_home(self) -> Path:
        """Dagster's instance folder, written from a template."""
        return self.home / "dagster"


def load_settings() -> Settings:
    """Return the settings of this process.

    Raises
    ------
    ConfigurationError
        A value does not fit; names the settings, never their values.
    """
    try:
        return Settings()
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(str(part) for part in item['loc']).upper()}: {item['msg']}"
            for item in error.errors(include_input=False, include_url=False)
        )
        raise ConfigurationError(
            f"Settings cannot be used: {problems}. See .env.example."
        ) from None


def env_example() -> str:
    """Return the text of `.env.example`: each setting with its meaning and default."""
    blocks = ["# Settings of viral_platform. Copy to .env and change what you need."]
    for name, field in Settings.model_fields.items():
        secret = " Secret." if "SecretStr" in str(field.annotation) else ""
        default = "" if field.default is None else field.default
        blocks.append(f"# {field.description}{secret}\n# {name.upper()}={default}")
    return "\n\n".join(blocks) + "\n"


if __name__ == "__main__":
    sys.stdout.write(env_example())
