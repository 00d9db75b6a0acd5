"""The tick of `sync_whop`, and what its run leaves in the tables and tells the operator."""

from __future__ import annotations

from collections.abc import Iterator

import dagster as dg
import pytest

from viral_platform.sandbox.stand_ins import Fault, StandIn
from viral_platform.sandbox.stand_ins.whop import COMPANY

from . import test_schedules
from .test_schedules import Installation

installation = test_schedules.installation
SETTINGS = {
    "WHOP_API_KEY": "whop-key",
    "WHOP_COMPANY_ID": COMPANY,
    "WHOP_PRODUCT_ID_STARTER": "prod_s",
    "WHOP_PRODUCT_ID_PRO": "prod_p",
}
CHECKS = {"all_memberships_read", "every_product_known"}


@pytest.fixture
def whop(monkeypatch: pytest.MonkeyPatch) -> Iterator[StandIn]:
    for name, value in SETTINGS.items():
        monkeypatch.setenv(name, value)
    with StandIn() as stand_in:
        monkeypatch.setenv("WHOP_BASE_URL", stand_in.base_url)
        yield stand_in


def checks(result: dg.ExecuteInProcessResult) -> dict[str, dg.AssetCheckEvaluation]:
    found = {check.check_name: check for check in result.get_asset_check_evaluations()}
    assert set(found) == CHECKS
    return found


@pytest.mark.parametrize("unset", SETTINGS)
def test_without_its_settings_nothing_is_read_and_they_are_named(
    installation: Installation, whop: StandIn, monkeypatch: pytest.MonkeyPatch, unset: str
) -> None:
    monkeypatch.delenv(unset)
    reason = installation.tick("sync_whop")
    assert reason == f"Not set: {unset}. No membership is read without."
    assert whop.calls("whop") == []


def test_a_tick_reads_all_memberships(installation: Installation, whop: StandIn) -> None:
    for number in range(3):
        product = "prod_p" if number else "prod_s"
        whop.whop.member(f"mem_{number}", product=product, account=f"a{number}")
    result = installation.run("sync_whop")
    assert installation.rows("select id, status, account from app.memberships order by id") == [
        (f"mem_{number}", "active", f"a{number}") for number in range(3)
    ]
    (event,) = result.get_asset_materialization_events()
    told = {name: entry.value for name, entry in event.materialization.metadata.items()}
    assert (told["read"], told["new"]) == (3, 3)
    assert [told[f"accounts_{tier}"] for tier in ("free", "starter", "pro")] == [0, 1, 2]
    assert all(check.passed for check in checks(result).values())


def test_the_checks_fail_on_what_they_are_for(installation: Installation, whop: StandIn) -> None:
    whop.whop.member("mem_1", product="prod_s", account="a")
    installation.run("sync_whop")
    whop.whop.lose("mem_1")
    whop.whop.member("mem_2", product="prod_other", account="b")
    found = checks(installation.run("sync_whop"))
    assert {name: check.passed for name, check in found.items()} == dict.fromkeys(CHECKS, False)
    assert "mem_1" in found["all_memberships_read"].description
    assert "prod_other" in found["every_product_known"].description


def test_a_key_that_is_refused_fails_the_run_without_another_try(
    installation: Installation, whop: StandIn
) -> None:
    whop.fail("whop", Fault.UNAUTHORIZED)
    result = installation.run("sync_whop", succeeds=False)
    (failure,) = result.filter_events(lambda event: event.is_step_failure)
    data = failure.step_failure_data.user_failure_data
    assert data.metadata["kind"].value == "unauthorized"
    assert "whop-key" not in data.description
    assert result.filter_events(lambda event: event.is_step_up_for_retry) == []
    assert installation.rows("select count(*) from app.memberships") == [(0,)]
