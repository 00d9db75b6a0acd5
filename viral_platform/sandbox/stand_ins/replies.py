"""What a simulated language model replies: scores by plain properties of the caption.

Nothing is drawn: the same question has the same reply, and each score says what it rests on. How
the reply travels is each provider's.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from viral_platform.engine.replies import FACTOR_NAMES, VIDEO_SIGNALS
from viral_platform.sandbox.stand_ins.exchange import Document
from viral_platform.sandbox.stand_ins.faults import Fault, Planned

LOWEST_SCORE, HIGHEST_SCORE = 3.0, 9.0
CAPTION_KEYS = ("caption", "content_text", "content", "text")
EVIDENCE_WORDS = 6
MAX_JSON_STARTS = 50

HOOK_WORDS = re.compile(
    r"\b(stop|secret|nobody|never|mistake|wrong|truth|pov|wait|dừng|bí mật|sai lầm|sự thật"
    r"|secreto|error|verdad)\b",
    re.IGNORECASE,
)
CALL_WORDS = re.compile(
    r"\b(share|save|follow|comment|tag|send|lưu|chia sẻ|guarda|comparte)\b", re.IGNORECASE
)
_NUMBERED = re.compile(r"^\s*\d+[.)]\s*(.+?)\s*:", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Question:
    """What a model is asked.

    `schema` is the JSON schema of the reply, where one is given; `video` is the SHA-256 of the
    attached file, None without one.
    """

    system: str
    data: str
    schema: Document | None = None
    video: str | None = None


def reply_to(question: Question) -> str:
    """Return the reply: JSON of the shape that the schema or the instructions name."""
    kind = _kind(question)
    if kind == "factors":
        document = _analysis(question)
    elif kind == "behavioral_predictions":
        document = _reasoning(question)
    elif kind == "evaluations":
        document = _verdicts(question)
    elif question.schema is not None:
        document = _filled(question.schema, question.data)
    else:
        return f"Simulated reply to {len(question.data)} characters."
    return json.dumps(document, ensure_ascii=False)


def spoil(text: str, planned: Planned | None) -> str:
    """Return the reply as a fault leaves it; other faults leave it alone."""
    if planned is None:
        return text
    if planned.fault is Fault.TRUNCATED_JSON:
        return text[: len(text) // 2]
    if planned.fault is Fault.FENCED:
        return f"Here is the analysis.\n```json\n{text}\n```\nTell me if more is needed."
    change = _CHANGES.get(planned.fault)
    if change is None:
        return text
    try:
        return json.dumps(change(json.loads(text)), ensure_ascii=False)
    except ValueError:
        return text


def _kind(question: Question) -> str | None:
    kinds = ("behavioral_predictions", "evaluations", "factors")
    where = [question.system]
    if question.schema is not None:
        where.insert(0, json.dumps(question.schema))
    for text in where:
        for kind in kinds:
            if kind in text:
                return kind
    return None


def _documents(text: str) -> Iterator[Document]:
    """Yield the JSON objects that stand in a text, outermost first."""
    decoder = json.JSONDecoder()
    for start in [match.start() for match in re.finditer(r"\{", text)][:MAX_JSON_STARTS]:
        try:
            found, _ = decoder.raw_decode(text, start)
        except ValueError:
            continue
        yield found


def _find(value: object, keys: tuple[str, ...]) -> Any:  # noqa: ANN401  any JSON value
    """Return what stands under the first of the keys, at any depth; None when none is there."""
    if isinstance(value, dict):
        for key in keys:
            if value.get(key):
                return value[key]
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    for one in inner:
        found = _find(one, keys)
        if found is not None:
            return found
    return None


def caption_of(data: str) -> str:
    """Return the caption in a data message; the whole message when it holds no JSON.

    Examples
    --------
    >>> caption_of('DATA: {"content": {"caption": "my first loaf", "niche": "food"}}')
    'my first loaf'
    """
    is_json = False
    for document in _documents(data):
        is_json = True
        for key in CAPTION_KEYS:
            found = _find(document, (key,))
            if isinstance(found, str):
                return found
    return "" if is_json else data.strip()


def _share(*parts: str) -> float:
    """Return a number in [0, 1) that belongs to the parts."""
    digest = hashlib.sha256("\x1f".join(parts).encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:4]) / 2**32


def _score(base: float, *parts: str) -> float:
    """Return the base moved by up to one point, within 3..9, to one decimal."""
    return round(min(HIGHEST_SCORE, max(LOWEST_SCORE, base + 2 * _share(*parts) - 1)), 1)


@dataclass(frozen=True, slots=True)
class _Traits:
    caption: str
    has_hook: bool
    has_question: bool
    has_number: bool
    has_call: bool
    is_loud: bool
    hashtags: int

    @classmethod
    def of(cls, caption: str) -> _Traits:
        return cls(
            caption=caption,
            has_hook=HOOK_WORDS.search(caption) is not None,
            has_question="?" in caption,
            has_number=any(character.isdigit() for character in caption),
            has_call=CALL_WORDS.search(caption) is not None,
            is_loud="!" in caption or any(ord(character) > 0x1F000 for character in caption),
            hashtags=len(re.findall(r"#\w", caption)),
        )

    @property
    def has_good_length(self) -> bool:
        return 30 <= len(self.caption) <= 150

    def bases(self) -> dict[str, float]:
        """Scores of the five factors before the hash moves them."""
        return {
            "scroll_stop_power": 4.0 + 2.0 * self.has_hook + self.has_number,
            "completion_pull": 4.5 + 1.5 * self.has_good_length + 0.5 * self.has_hook,
            "rewatch_potential": 4.0 + 1.5 * self.has_number,
            "share_trigger": 4.0 + 1.5 * self.has_call + 0.5 * min(self.hashtags, 3),
            "emotional_charge": 4.0 + self.is_loud + self.has_question,
        }

    def sentence(self) -> str:
        found = {
            "a hook word": self.has_hook,
            "a question": self.has_question,
            "a number": self.has_number,
            "a call to action": self.has_call,
        }
        named = ", ".join(name for name, is_there in found.items() if is_there) or "no hook"
        return f"{len(self.caption)} characters, {self.hashtags} hashtags, {named}."


_TIPS = {
    "scroll_stop_power": "Open with the surprising part.",
    "completion_pull": "Promise early what comes at the end.",
    "rewatch_potential": "Add one detail that is easy to miss.",
    "share_trigger": "Say who should see this.",
    "emotional_charge": "Name the feeling in the first sentence.",
}


def _analysis(question: Question) -> Document:
    caption = caption_of(question.data)
    traits = _Traits.of(caption)
    evidence = " ".join(caption.split()[:EVIDENCE_WORDS]) or None
    document: Document = {
        "factors": [
            {
                "name": FACTOR_NAMES[factor],
                "score": _score(base, factor, caption),
                "rationale": f"Simulated: {traits.sentence()}",
                "improvement_tip": _TIPS[factor],
                "evidence": evidence,
            }
            for factor, base in traits.bases().items()
        ],
        "overall_impression": f"Simulated: {traits.sentence()}",
        "content_summary": f"Simulated summary of {len(caption)} characters.",
    }
    required = (question.schema or {}).get("required") or ()
    if question.video is not None or "video_signals" in required:
        seen = question.video or ""
        document["video_signals"] = {name: _score(6.0, name, seen) for name in VIDEO_SIGNALS}
    return document


def _reasoning(question: Question) -> Document:
    caption = caption_of(question.data)
    traits = _Traits.of(caption)
    bases = traits.bases()
    components = {
        "hook_effectiveness": bases["scroll_stop_power"],
        "retention_strength": bases["completion_pull"],
        "shareability": bases["share_trigger"],
        "comment_provocation": 4.0 + 2.0 * traits.has_question,
        "save_worthiness": 4.0 + 1.5 * traits.has_number + traits.has_call,
        "trend_alignment": 4.0 + 0.5 * min(traits.hashtags, 4),
        "originality": 5.5,
    }
    scores = {name: _score(base, name, caption) for name, base in components.items()}
    predictions: Document = {}
    for name, score, top in (
        ("completion", scores["retention_strength"], 80.0),
        ("share", scores["shareability"], 3.0),
        ("comment", scores["comment_provocation"], 2.0),
        ("save", scores["save_worthiness"], 3.0),
    ):
        predictions[f"{name}_pct"] = round(top * score / 10, 2)
        predictions[f"{name}_percentile"] = f"p{round(score * 10)}"
    return {
        "behavioral_predictions": predictions,
        "component_scores": scores,
        "suggestions": [
            {
                "text": "Simulated: open with the result, then show how.",
                "priority": "low" if traits.has_hook else "high",
                "category": "hook",
            },
            {
                "text": "Simulated: end with a question to the viewer.",
                "priority": "low" if traits.has_question else "medium",
                "category": "content",
            },
            {
                "text": "Simulated: use three hashtags of the niche.",
                "priority": "low",
                "category": "format",
            },
        ],
        "warnings": [],
        "confidence": "medium" if caption else "low",
    }


def _verdicts(question: Question) -> Document:
    caption = caption_of(question.data)
    return {
        "evaluations": [
            {
                "rule_name": name,
                "score": _score(6.0, name, caption),
                "rationale": f"Simulated: {_Traits.of(caption).sentence()}",
            }
            for name in rule_names(question.data)
        ]
    }


def rule_names(data: str) -> list[str]:
    """Return the names of the rules that a data message lists.

    Examples
    --------
    >>> rule_names('{"rules": [{"rule_name": "Open loop", "question": "?"}, "Stakes"]}')
    ['Open loop', 'Stakes']
    >>> rule_names("1. Open loop: is there one?")
    ['Open loop']
    """
    for document in _documents(data):
        rules = _find(document, ("rules",))
        if isinstance(rules, list):
            names = [
                (rule.get("rule_name") or rule.get("name")) if isinstance(rule, dict) else rule
                for rule in rules
            ]
            return [str(name) for name in names if name]
    return _NUMBERED.findall(data)


def _filled(schema: Document, seed: str) -> Any:  # noqa: ANN401  any JSON value
    """Return a value that fits a plain schema."""
    kind = str(schema.get("type", "object")).lower()
    if schema.get("enum"):
        return schema["enum"][0]
    if kind == "object":
        return {name: _filled(one, seed + name) for name, one in schema["properties"].items()}
    if kind == "array":
        return [_filled(schema["items"], seed)]
    if kind in {"number", "integer"}:
        score = _score(6.0, seed)
        return round(score) if kind == "integer" else score
    return kind == "boolean" or "Simulated."


def _drifted(document: Document) -> Document:
    return {f"{key}_v2": value for key, value in document.items()}


def _out_of_range(value: Any, *, is_scored: bool = False) -> Any:  # noqa: ANN401
    """Return the value with 99 for every score in it."""
    if isinstance(value, dict):
        return {
            key: _out_of_range(
                one, is_scored=is_scored or key in {"score", "component_scores", "video_signals"}
            )
            for key, one in value.items()
        }
    if isinstance(value, list):
        return [_out_of_range(one) for one in value]
    return 99 if is_scored and isinstance(value, int | float) else value


def _lacking(document: Document) -> Document:
    for key in ("factors", "evaluations"):
        if key in document:
            return {**document, key: document[key][:-1]}
    scores = dict(list(document.get("component_scores", {}).items())[:-1])
    return {**document, "component_scores": scores}


_CHANGES: dict[Fault, Callable[[Any], Any]] = {
    Fault.SCHEMA_DRIFT: _drifted,
    Fault.OUT_OF_RANGE: _out_of_range,
    Fault.MISSING_FACTOR: _lacking,
}
