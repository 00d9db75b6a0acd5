"""The stand-in of Whop holds to the recorded messages and pages as the documents say."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime

import httpx
import pytest

from viral_platform.sandbox.stand_ins import Fault, StandIn
from viral_platform.sandbox.stand_ins.whop import COMPANY, signed

from .test_wire_contracts import sample

KEY = {"Authorization": "Bearer key"}
AT = datetime.fromtimestamp(1_772_359_205, UTC)


def page(stand_in: StandIn, **query: object) -> httpx.Response:
    asked = {"company_id": COMPANY, **query}
    return httpx.get(f"{stand_in.base_url}/api/v1/memberships", params=asked, headers=KEY)


def test_a_membership_has_the_fields_of_the_recorded_one(stand_in: StandIn) -> None:
    shown = stand_in.whop.member("mem_1", product="prod_1", account="a", period_end=AT)
    recorded = sample("whop_v1_memberships_page.json")
    assert set(shown) == set(recorded["data"][0])
    assert set(page(stand_in).json()["page_info"]) == set(recorded["page_info"])


def test_a_cursor_leads_through_all_of_them(stand_in: StandIn) -> None:
    for number in range(5):
        stand_in.whop.member(f"mem_{number}", product=None, account=None)
    found, query = [], {}
    while True:
        told = page(stand_in, first=2, **query).json()
        found += [one["id"] for one in told["data"]]
        if not told["page_info"]["has_next_page"]:
            break
        query = {"after": told["page_info"]["end_cursor"]}
    assert found == [f"mem_{number}" for number in range(5)]


@pytest.mark.parametrize(
    ("name", "secret_key", "names"),
    [
        ("whop_webhook_activated.json", "secret_text", "webhook"),
        ("whop_webhook_went_valid_legacy.json", "secret", "svix"),
    ],
)
def test_it_signs_as_the_recorded_messages_are_signed(
    name: str, secret_key: str, names: str
) -> None:
    recorded = sample(name)
    headers = recorded["_http"]["headers"]
    one = signed(
        recorded["raw_body"].encode(),
        message_id=headers[f"{names}-id"],
        secret=recorded["_signing"][secret_key],
        to="http://x/",
        at=AT,
        names=names,
    )
    assert one.headers == headers


def test_a_message_has_the_parts_of_the_recorded_one(stand_in: StandIn) -> None:
    document = stand_in.whop.member("mem_1", product="prod_1", account="a")
    secret = "whsec_" + base64.b64encode(b"k" * 24).decode()
    one = stand_in.whop.message("membership.activated", document, secret=secret, to="http://x/")
    recorded = json.loads(sample("whop_webhook_activated.json")["raw_body"])
    assert set(json.loads(one.body)) == set(recorded)


@pytest.mark.parametrize(
    ("fault", "status"),
    [(Fault.RATE_LIMITED, 429), (Fault.SERVER_ERROR, 503), (Fault.UNAUTHORIZED, 401)],
)
def test_a_fault_is_told_as_an_error(stand_in: StandIn, fault: Fault, status: int) -> None:
    stand_in.fail("whop", fault, times=1)
    refused = page(stand_in)
    assert refused.status_code == status
    assert set(refused.json()["error"]) == {"type", "message"}
    assert page(stand_in).status_code == 200


def test_nobody_reads_without_a_key_or_of_another_company(stand_in: StandIn) -> None:
    url = f"{stand_in.base_url}/api/v1/memberships"
    assert httpx.get(url, params={"company_id": COMPANY}).status_code == 401
    assert page(stand_in, company_id="biz_other").status_code == 404
