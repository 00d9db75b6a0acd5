"""Drive the service by HTTP alone: predict, read back, a batch, an outcome, costs, trends.

The key is in the environment, the address is the argument:
VIRAL_API_KEY=vp_... python docs/api_example.py http://127.0.0.1:8000
"""

from __future__ import annotations

import json
import os
import sys
import time
from datetime import UTC, datetime, timedelta

import httpx

WAIT_SECONDS = 120


def say(what: str) -> None:
    """Print one line."""
    sys.stdout.write(f"{what}\n")


def problem_of(response: httpx.Response) -> str:
    """Return the code of a problem document with its sentence."""
    problem = response.json()
    return f"{problem['code']}: {problem['detail']}"


def predict(client: httpx.Client) -> str:
    """Ask for one prediction, read it again, and return its id."""
    request = {
        "content_text": "Wait for it: three knife skills nobody taught you #cooking #fyp",
        "creator_handle": "some.cook",
        "duration_seconds": 21,
        # A post of last week, so that its outcome may be told below.
        "posted_at": (datetime.now(UTC) - timedelta(days=8)).isoformat(),
    }
    response = client.post("/v1/predictions", json=request)
    response.raise_for_status()
    answer = response.json()
    say(f"prediction {answer['id']}: {answer['overall_score']} ({answer['confidence_label']})")
    for factor in answer["factors"]:
        say(f"  {factor['name']}: {factor['score']} of {factor['max_score']}")
    again = client.get(f"/v1/predictions/{answer['id']}").json()
    say(f"read back: {'the same' if again == answer else 'DIFFERENT'}")
    return str(answer["id"])


def list_all(client: httpx.Client) -> None:
    """Walk through all pages of the key's predictions."""
    count, query = 0, {"limit": "50"}
    while True:
        page = client.get("/v1/predictions", params=query).raise_for_status().json()
        count += len(page["data"])
        if not page["has_more"]:
            break
        query["cursor"] = page["next_cursor"]
    say(f"listed: {count}")


def run_job(client: httpx.Client) -> None:
    """Order a batch, wait for its end, and read the results."""
    texts = [f"What if you never cook pasta like this again? Part {part}" for part in (1, 2, 3)]
    requests = [{"content_text": text} for text in texts]
    job = client.post("/v1/prediction-jobs", json={"requests": requests}).raise_for_status()
    path = job.headers["location"]
    deadline = time.monotonic() + WAIT_SECONDS
    while (state := client.get(path).raise_for_status().json())["status"] in {"queued", "running"}:
        if time.monotonic() > deadline:
            raise SystemExit(f"{path} is still {state['status']}: does `viral up` run?")
        time.sleep(0.5)
    say(f"job: {state['status']}, {state['answered']} of {state['total']} answered")
    results = client.get(f"{path}/results").raise_for_status()
    for text, line in zip(texts, results.text.splitlines(), strict=True):
        result = json.loads(line)
        say(f"  {result.get('overall_score', result.get('problem'))}: {text}")


def report_outcome(client: httpx.Client, prediction_id: str) -> None:
    """Tell what became of the post."""
    counts = {"views": 18_400, "likes": 2_100, "comments": 64, "shares": 130}
    response = client.post("/v1/outcomes", json={"analysis_id": prediction_id, **counts})
    if response.is_success:
        outcome = response.json()
        say(f"outcome: {outcome['actual_score']:.1f}, off by {outcome['delta']}")
    else:
        say(f"outcome: {problem_of(response)}")


def read_reports(client: httpx.Client) -> None:
    """Read what was spent and which sounds rise."""
    for row in client.get("/v1/admin/costs?days=7").raise_for_status().json():
        say(f"spent: {row['date']} {row['model']} {row['total_cost_cents']} US cents")
    response = client.get("/v1/trends/sounds?limit=3")
    if response.is_success:
        for sound in response.json()["data"]:
            say(f"rising: {sound['sound_name']} ({sound['trend_phase']})")
    else:
        say(f"trends: {problem_of(response)}")


def main() -> None:
    """Run all steps against the service at the address given."""
    headers = {"Authorization": f"Bearer {os.environ['VIRAL_API_KEY']}"}
    with httpx.Client(base_url=sys.argv[1], headers=headers, timeout=120) as client:
        prediction_id = predict(client)
        run_job(client)
        list_all(client)
        report_outcome(client, prediction_id)
        read_reports(client)


if __name__ == "__main__":
    main()
