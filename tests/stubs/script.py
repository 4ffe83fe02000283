"""What the stub's models hear and answer, and how they fail: plain state that a test changes at any time.

Touches no socket. `Script` is the content, `Faults` the switches; both may be used from any thread.
"""

from __future__ import annotations

import json
import re
import threading
from collections import deque
from dataclasses import dataclass, field
from typing import Any, Literal

from tests.stubs.speech import Vocabulary

Model = Literal["llm", "stt", "tts"]
Fault = Literal["500", "401", "hang"]

MODELS: tuple[Model, ...] = ("llm", "stt", "tts")
FAULTS: tuple[Fault, ...] = ("500", "401", "hang")

GREETING = "Hello, how can I help you?"
"""The language model's answer where the user has said nothing yet."""


@dataclass(frozen=True)
class Rule:
    """The answer to what the user says.

    Attributes:
        match: Regular expression, searched in the user's last words without regard to case.
        text: The answer; `{user}` stands for the user's words. After a tool it is said with `{output}`.
        tool: Name of the tool to call first; ignored where the request does not offer it.
        arguments: The tool's arguments.
    """

    match: str
    text: str = "You said: {user}"
    tool: str | None = None
    arguments: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Answer:
    """One answer of the language model: a text, or a call of a tool."""

    text: str = ""
    tool: str | None = None
    arguments: str = "{}"


class Script:
    """The conversation's content.

    Speech is recognised in this order: a phrase of `vocabulary` (exact words, any number of rooms at once),
    then the next text of `hear` (for audio that was not taught), then nothing at all: noise yields no words.
    """

    def __init__(self) -> None:
        self.vocabulary = Vocabulary()
        self.token_seconds = 0.005
        self._hear: deque[str] = deque()
        self._rules: list[Rule] = []
        self._lock = threading.Lock()

    def hear(self, *texts: str) -> None:
        """Queue the transcripts of the next utterances that are not in the vocabulary."""
        with self._lock:
            self._hear.extend(texts)

    def add(self, rule: Rule) -> None:
        """Add a rule; the newest one that matches is used."""
        re.compile(rule.match)
        with self._lock:
            self._rules.insert(0, rule)

    def transcript(self, pcm: bytes, rate: int) -> str:
        """Return the words of a whole utterance; "" for noise."""
        known = self.vocabulary.recognise(pcm, rate)
        if known is not None:
            return known
        with self._lock:
            return self._hear.popleft() if self._hear else ""

    def answer(self, request: dict[str, Any]) -> Answer:
        """Answer a chat completion request (OpenAI's JSON body)."""
        messages = request.get("messages", [])
        user = _last_words(messages, "user")
        rule = self._rule_for(user)
        if messages and messages[-1].get("role") == "tool":
            return Answer(_after_tool(rule, user, _content(messages[-1])))
        if not user:
            return Answer(GREETING)
        offered = [tool["function"] for tool in request.get("tools") or [] if tool.get("type") == "function"]
        if rule is not None:
            if rule.tool in {tool["name"] for tool in offered}:
                return Answer(tool=rule.tool, arguments=json.dumps(rule.arguments))
            return Answer(rule.text.replace("{user}", user))
        tool = _tool_by_word(offered, user)
        if tool is not None:
            return Answer(tool=tool["name"], arguments=json.dumps(_arguments(tool, user)))
        return Answer(f"You said: {user}")

    def _rule_for(self, user: str) -> Rule | None:
        with self._lock:
            rules = list(self._rules)
        return next((rule for rule in rules if re.search(rule.match, user, re.IGNORECASE)), None)


def _content(message: dict[str, Any]) -> str:
    content = message.get("content") or ""
    if isinstance(content, str):
        return content
    return " ".join(part.get("text", "") for part in content if part.get("type") == "text")


def _last_words(messages: list[dict[str, Any]], role: str) -> str:
    return next((_content(message) for message in reversed(messages) if message.get("role") == role), "")


def _after_tool(rule: Rule | None, user: str, output: str) -> str:
    if rule is not None and "{output}" in rule.text:
        return rule.text.replace("{user}", user).replace("{output}", output)
    return f"The answer is: {output}"


def _tool_by_word(offered: list[dict[str, Any]], user: str) -> dict[str, Any] | None:
    """Without a rule: the tool whose name shares a word with what the user said."""
    said = {word for word in re.findall(r"[a-z]+", user.lower()) if len(word) > 3}
    return next((tool for tool in offered if said & set(re.findall(r"[a-z]+", tool["name"].lower()))), None)


def _arguments(tool: dict[str, Any], user: str) -> dict[str, Any]:
    """Fill in the required arguments: null where allowed (strict schemas require even optional ones)."""
    schema = tool.get("parameters") or {}
    described = schema.get("properties", {})
    return {name: _value(described.get(name, {}), user) for name in schema.get("required", [])}


def _value(schema: dict[str, Any], user: str) -> Any:
    """The first of the allowed values, 1, true, or for a text the user's last word."""
    alternatives = [one.get("type") for one in schema.get("anyOf", [])]
    kind = schema.get("type", alternatives or "string")
    kinds = kind if isinstance(kind, list) else [kind]
    if "null" in kinds:
        return None
    if schema.get("enum"):
        return schema["enum"][0]
    by_kind: dict[str, Any] = {"integer": 1, "number": 1, "boolean": True, "array": [], "object": {}}
    words = re.findall(r"\w+", user)
    return by_kind.get(kinds[0], words[-1] if words else "")


class Faults:
    """Which model fails how. A model's version changes with its fault: a hanging answer notices."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._faults: dict[Model, tuple[Fault, int | None]] = {}
        self._versions = dict.fromkeys(MODELS, 0)

    def set(self, model: Model, fault: Fault, times: int | None = None) -> None:
        """Make a model fail, always or a number of times.

        Raises:
            ValueError: An unknown model or fault.
        """
        if model not in MODELS or fault not in FAULTS:
            raise ValueError(f"cannot make {model!r} fail with {fault!r}: use one of {MODELS} and {FAULTS}")
        with self._lock:
            self._faults[model] = (fault, times)
            self._versions[model] += 1

    def heal(self, model: Model | None = None) -> None:
        """End the fault of one model, or of all."""
        with self._lock:
            for name in [model] if model else MODELS:
                self._faults.pop(name, None)
                self._versions[name] += 1

    def version(self, model: Model) -> int:
        """Return a number that grows when the model's fault is set or healed."""
        with self._lock:
            return self._versions[model]

    def now(self, model: Model) -> Fault | None:
        """Return the fault that is set, without using it up."""
        with self._lock:
            return self._faults.get(model, (None, None))[0]

    def take(self, model: Model) -> Fault | None:
        """Return the fault for one request, and use up one of its times."""
        with self._lock:
            fault, left = self._faults.get(model, (None, None))
            if fault is not None and left is not None:
                if left <= 1:
                    del self._faults[model]
                else:
                    self._faults[model] = (fault, left - 1)
            return fault

    def shown(self) -> dict[str, str]:
        """Return the present faults by model."""
        with self._lock:
            return {model: fault for model, (fault, _) in self._faults.items()}
