"""Where the replaced system misread texts, and what is right there, from the inputs alone.

Predicates and values for the table of `test_parity.py`. No value is computed by the function
that it is held against; `fuzzy.jaro_winkler` has vectors of its own.
"""

from __future__ import annotations

import json
import math
import re
import unicodedata
from typing import Any

from viral_platform.engine import fuzzy

from .parity_inputs import mart, phase, rnd, velocity


def unicode_tags(i: dict[str, Any]) -> list[str]:
    text = unicodedata.normalize("NFC", i.get("content_text") or "")
    plain = "".join(c if belongs_to_word(c) or c == "#" else " " for c in text)
    found = (run.lower() for run in re.findall("#([^# ]+)", plain))
    return list(dict.fromkeys(f"#{run}" for run in found if unicodedata.category(run[0])[0] != "M"))


def belongs_to_word(c: str) -> bool:
    is_selector = "VARIATION SELECTOR" in unicodedata.name(c, "")
    kind = unicodedata.category(c)
    return c == "_" or kind[0] in "LN" or (kind in {"Mn", "Mc"} and not is_selector)


def has_longer_tags(i: dict[str, Any]) -> bool:
    old = re.findall("#[A-Za-z0-9_\u00c0-\u024f]+", i.get("content_text") or "")
    return list(dict.fromkeys(map(str.lower, old))) != unicode_tags(i)


def names_more_than_a_day(i: dict[str, Any]) -> bool:
    figures = re.findall(r"([0-9]+)\s*(sec|s|min)", i.get("content_text") or "", re.IGNORECASE)
    return any(int(n) * (60 if unit.lower() == "min" else 1) > 86_400 for n, unit in figures)


def has_written_handle(i: dict[str, Any]) -> bool:
    return i.get("creator_handle") is not None and i["creator_handle"] != bare_handle(i)


def bare_handle(i: dict[str, Any]) -> str:
    return re.sub(r"^[\s@]+|\s+$", "", i["creator_handle"]).lower()


def is_left_to_http(i: Any) -> bool:
    """Tell what the HTTP layer decides: required, unknown and null fields of a request."""
    old = {"input_mode", "content_type", "content_text", "tiktok_url", "video_storage_path"}
    old |= {"society_id", "niche", "creator_handle"}
    return isinstance(i, dict) and (
        not {"input_mode", "content_type"} <= i.keys() <= old or None in i.values()
    )


UNSPACED = ("THAI", "LAO", "MYANMAR", "KHMER", "HIRAGANA", "KATAKANA", "CJK")


def words(text: str) -> list[str]:
    """Split at what is no letter, digit or mark; a letter of a script without spaces is a word."""
    text = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    spaced = (
        f" {c} " if is_unspaced(c) else c if belongs_to_word(c) and c != "_" else " " for c in text
    )
    return "".join(spaced).split()


def is_unspaced(c: str) -> bool:
    return belongs_to_word(c) and unicodedata.name(c, "").startswith(UNSPACED)


def stands_in(name: list[str], text: list[str]) -> bool:
    return any(text[at : at + len(name)] == name for at in range(len(text) - len(name) + 1))


def is_not_written_out(i: dict[str, Any]) -> bool:
    target, content = i["target"].lower().strip(), i["content"].lower()
    if not target or not content:
        return False
    enough = sum(map(len, words(target))) >= 3
    return not (target in content and enough and stands_in(words(target), words(content)))


def right_match(i: dict[str, Any]) -> dict[str, Any]:
    """Names of three letters or more, at borders of words; slips only in long ones of several."""
    name, text = words(i["target"]), words(i["content"])
    threshold = i.get("threshold", 0.9)
    letters = sum(map(len, name))
    none = {"score": 0, "matched": False}
    if letters < 3:
        return none
    if stands_in(name, text):
        return {"score": 1, "matched": True}
    required = threshold + (0.05 if letters < 12 else 0.04 if letters < 16 else 0)
    if letters < 8 or len(name) == 1 or required > 1 or any(map(is_unspaced, "".join(name))):
        return none
    name, text = [bare(word) for word in name], [bare(word) for word in text]
    runs = (
        " ".join(text[at : at + size])
        for at in range(len(text))
        for size in range(len(name) - 1, len(name) + 2)
        if text[at][0] == name[0][0]
    )
    best = max((fuzzy.jaro_winkler(" ".join(name), run) for run in runs), default=0)
    return {"score": rnd(best, 3), "matched": True} if best >= required else none


def bare(word: str) -> str:
    plain = re.sub("[\u0300-\u036f]", "", unicodedata.normalize("NFD", word))
    return plain.translate(str.maketrans("đøł", "dol"))


HOOKS = {"question_hook", "curiosity_gap", "negative_bias", "bold_claim", "story_hook"}

LATER_IN_TEXT = {"payoff_delay", "pattern_interrupt", "info_density", "short_duration"}

JUDGED = HOOKS | LATER_IN_TEXT | {"caption_hook", "cta_clarity", "authenticity"}

WITH_APOSTROPHE = {"negative_bias": "don't", "pattern_interrupt": "here's the thing"}


def straight(text: str) -> str:
    return re.sub("[’‘ʼ′＇]", "'", text)


def asks_first(text: str) -> bool:
    """Tell whether the first sentence ends in a question mark; "3.5" ends none."""
    begun = re.sub(r"^\W+", "", text)
    stops = re.search(r"[.!?]+(?![.!?\w])", begun)
    return stops is not None and "?" in stops[0]


def reads_otherwise(i: dict[str, Any]) -> bool:
    if i["pattern"] == "question_hook":
        return asks_first(i["content"]) != bool(re.match(r"[^.!]*\?", i["content"]))
    curly = i["pattern"] in WITH_APOSTROPHE and straight(i["content"]) != i["content"]
    return i["pattern"] == "text_overlay" or curly


def reads(i: dict[str, Any]) -> bool:
    pattern, text = i["pattern"], i["content"]
    if pattern in {"question_hook", "text_overlay"}:
        return pattern == "question_hook" and asks_first(text)
    phrase = WITH_APOSTROPHE.get(pattern)
    found = phrase and re.search(rf"\b{phrase}\b", straight(text), re.ASCII | re.IGNORECASE)
    return i["recorded"] or bool(found)


def judged(i: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        rule
        for rule in i["library"]
        if rule["evaluation_tier"] == "regex"
        and rule["pattern"] in JUDGED
        and rule["score_modifier"]
        and i["content"].strip()
    ]


def matches_otherwise(i: dict[str, Any]) -> bool:
    return len(judged(i)) < len(i["library"]) or any(
        reads_otherwise({"pattern": rule["pattern"], "content": i["content"]})
        for rule in i["library"]
    )


def scores_otherwise(i: dict[str, Any]) -> bool:
    weighted = any(rule["weight"] != 1 for rule in i["library"])
    return not i["library"] or weighted or matches_otherwise(i)


def right_rules(i: dict[str, Any]) -> list[dict[str, Any]]:
    held = {found["rule_id"] for found in i["recorded"]["matched_rules"]}
    return [
        {
            "rule_id": rule["id"],
            "score": min(rule["max_score"], rule["score_modifier"] / 15 * rule["max_score"]),
            "max_score": rule["max_score"],
            "tier": "regex",
        }
        for rule in judged(i)
        if reads(
            {
                "pattern": rule["pattern"],
                "content": i["content"],
                "recorded": rule["id"] in held,
            }
        )
    ]


def right_rule_score(i: dict[str, Any]) -> float | None:
    weight = {rule["id"]: rule["weight"] for rule in judged(i)}
    most = sum(rule["max_score"] * rule["weight"] for rule in judged(i))
    total = sum(found["score"] * weight[found["rule_id"]] for found in right_rules(i))
    return min(100, max(0, rnd(100 * total / most))) if most > 0 else None


def verdicts(i: dict[str, Any]) -> dict[str, float]:
    """Return the first score that a usable reply gives each rule that was asked about."""
    fenced = re.search(r"```(?:json)?([\s\S]*?)```", i["semantic_reply"])
    try:
        entries = json.loads(fenced[1] if fenced else i["semantic_reply"])["evaluations"]
    except (ValueError, TypeError, KeyError):
        return {}
    usable = isinstance(entries, list) and all(
        isinstance(one, dict)
        and type(one.get("score")) in {int, float}
        and 0 <= one["score"] <= 10
        and isinstance(one.get("rule_name"), str)
        and isinstance(one.get("rationale"), str)
        for one in entries
    )
    found: dict[str, float] = {}
    for one in entries if usable else []:
        rule = asked_about(i).get(one["rule_name"].strip().casefold())
        if rule is not None:
            found.setdefault(rule["id"], one["score"])
    return found


def asked_about(i: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {
        rule["name"].strip().casefold(): rule
        for rule in i["library"]
        if rule["evaluation_tier"] == "semantic" and rule.get("evaluation_prompt")
    }


def judges_otherwise(i: dict[str, Any]) -> bool:
    """Tell whether patterns read otherwise, or a reply names a rule weakly, twice or unasked."""
    regex = i | {"library": [r for r in i["library"] if r["evaluation_tier"] == "regex"]}
    names = re.findall(r'"rule_name":\s*"([^"]*)"', i["semantic_reply"])
    keys = [name.strip().casefold() for name in names]
    unasked = {
        rule["name"].strip().casefold()
        for rule in i["library"]
        if rule["evaluation_tier"] == "semantic"
    } - asked_about(i).keys()
    return (
        matches_otherwise(regex)
        or any(score < 5 for score in verdicts(i).values())
        or len(set(keys)) < len(keys)
        or bool(unasked & set(keys))
    )


def right_judged(i: dict[str, Any]) -> list[dict[str, Any]]:
    most = {rule["id"]: rule["max_score"] for rule in i["library"]}
    return right_rules(i) + [
        {
            "rule_id": rule_id,
            "score": score / 10 * most[rule_id],
            "max_score": most[rule_id],
            "tier": "semantic",
        }
        for rule_id, score in verdicts(i).items()
        if score >= 5
    ]


def leaves_rules_out(i: dict[str, Any]) -> bool:
    """Tell whether a rule of the library was not evaluated, or the rest reads otherwise."""
    evaluated = len(judged(i)) + len(verdicts(i))
    return evaluated < len(i["library"]) or scores_otherwise(i) or judges_otherwise(i)


def right_judged_score(i: dict[str, Any]) -> float | None:
    rules = {rule["id"]: rule for rule in i["library"]}
    given = verdicts(i)
    total = sum(one["score"] * rules[one["rule_id"]]["weight"] for one in right_rules(i))
    total += sum(
        score / 10 * rules[name]["max_score"] * rules[name]["weight"]
        for name, score in given.items()
    )
    counted = [*judged(i), *(rules[name] for name in given)]
    most = sum(rule["max_score"] * rule["weight"] for rule in counted)
    return min(100, max(0, rnd(100 * total / most))) if most > 0 else None


def has_sounds(i: dict[str, Any]) -> bool:
    return bool(i["sounds"])


def tags_differ(i: dict[str, Any]) -> bool:
    text, tables = i["content_text"] or "", [row["hashtags"] or [] for row in i["videos"]]
    old = dict.fromkeys(map(str.lower, re.findall(r"#[A-Za-z0-9_]+", text)))
    return (
        not text.strip()
        or not i["videos"]
        or list(old) != unicode_tags(i)
        or any(not tag.startswith("#") for tags in tables for tag in tags)
        or any([tag.lower() for tag in tags].count(used) > 1 for tags in tables for used in old)
    )


def trends_differ(i: dict[str, Any]) -> bool:
    return has_sounds(i) or tags_differ(i)


def tag_points(i: dict[str, Any]) -> tuple[float, float]:
    """Return the relevance of the tags in use, and the points of the saturated ones."""
    relevance = points = 0.0
    stored = mart(i["videos"])
    for tag in unicode_tags(i):
        if entry := stored.get(tag[1:]):
            weight = math.log10(max(entry.total_views, 1)) * entry.share
            blocked = tag in {"#fyp", "#foryou", "#foryoupage", "#viral", "#trending", "#xyzbca"}
            if blocked or entry.share > 0.4:
                points += rnd(0.3 * weight)
            else:
                relevance += weight
    return min(1.0, relevance / 3), points


def right_relevance(i: dict[str, Any]) -> float | None:
    known = (i["content_text"] or "").strip() and mart(i["videos"])
    return tag_points(i)[0] if known else None


def right_sounds(i: dict[str, Any]) -> list[dict[str, Any]]:
    text = i["content_text"] or ""
    known = [row for row in i["sounds"] if velocity(row) is not None]
    unknown = [row for row in i["sounds"] if velocity(row) is None]
    fastest = [*sorted(known, key=velocity, reverse=True), *unknown][:50]
    return [
        {
            "sound_name": row["sound_name"],
            "velocity_score": velocity(row),
            "trend_phase": phase(row),
        }
        for row in fastest
        if right_match({"target": row["sound_name"] or "", "content": text})["matched"]
    ]


def right_trend_score(i: dict[str, Any]) -> float | None:
    measured = any(velocity(row) is not None for row in i["sounds"])
    if not (i["content_text"] or "").strip() or not (measured or mart(i["videos"])):
        return None
    worth = {"emerging": 1.5, "rising": 1.2, "peak": 1.0, "declining": 0.5}
    relevance, points = tag_points(i)
    for row in right_sounds(i):
        points += min(100, max(0, row["velocity_score"] or 0)) * worth.get(row["trend_phase"], 0)
    return min(100, rnd(points + rnd(30 * relevance)))
