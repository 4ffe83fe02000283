"""The agent process's settings: missing and wrong ones are named."""

from __future__ import annotations

import math

import pytest

from agent.settings import SettingError, Settings, speech_timeout

COMPLETE = {
    "AGENT_MODE": "livekit",
    "LIVEKIT_URL": "ws://127.0.0.1:7880",
    "LIVEKIT_API_KEY": "key",
    "LIVEKIT_API_SECRET": "secret",
    "OPENAI_API_KEY": "sk-1",
}
NEEDED = [name for name in COMPLETE if name != "AGENT_MODE"]


def test_nothing_set_is_a_rehearsal() -> None:
    settings = Settings.from_env({})
    assert (settings.mode, settings.room, settings.executor) == ("rehearsal", "rehearsal", "thread")
    assert math.isinf(settings.load_threshold), "a busy machine must not refuse rooms silently"


def test_livekit_mode_with_all_it_needs() -> None:
    settings = Settings.from_env({**COMPLETE, "AGENT_EXECUTOR": "process", "AGENT_LOAD_THRESHOLD": "0.8"})
    assert (settings.mode, settings.livekit_url) == ("livekit", "ws://127.0.0.1:7880")
    assert (settings.executor, settings.load_threshold) == ("process", 0.8)
    assert settings.agent_name == "", "without a name it comes to every new room"


def test_agent_may_have_a_name() -> None:
    assert Settings.from_env({**COMPLETE, "AGENT_NAME": "helper"}).agent_name == "helper"


def test_speech_models_get_the_timeout_of_language_models_by_default() -> None:
    assert speech_timeout({}) == 10
    assert speech_timeout({"AGENT_SPEECH_TIMEOUT": "45"}) == 45


@pytest.mark.parametrize("name", NEEDED)
@pytest.mark.parametrize("how", ["absent", "empty"])
def test_what_is_missing_is_named(name: str, how: str) -> None:
    environment = {**COMPLETE, name: ""}
    if how == "absent":
        del environment[name]
    with pytest.raises(SettingError, match=f"^{name} is not set"):
        Settings.from_env(environment)


def test_all_that_is_missing_of_livekit_is_named_at_once() -> None:
    environment = {"AGENT_MODE": "livekit", "LIVEKIT_URL": COMPLETE["LIVEKIT_URL"], "OPENAI_API_KEY": "sk-1"}
    with pytest.raises(SettingError, match=r"^LIVEKIT_API_KEY, LIVEKIT_API_SECRET are not set"):
        Settings.from_env(environment)


def test_the_model_s_key_is_named_with_what_livekit_lacks() -> None:
    with pytest.raises(
        SettingError, match=r"LIVEKIT_API_SECRET, OPENAI_API_KEY \(or OPENAI_BASE_URL\) are not set"
    ):
        Settings.from_env({"AGENT_MODE": "livekit"})


def test_a_local_endpoint_needs_no_openai_key() -> None:
    environment = {**COMPLETE, "OPENAI_BASE_URL": "http://127.0.0.1:9/v1"}
    del environment["OPENAI_API_KEY"]
    assert Settings.from_env(environment).mode == "livekit"


@pytest.mark.parametrize("url", ["localhost:7880", "ftp://host", "wss://", "nonsense"])
def test_an_url_that_is_none_is_shown(url: str) -> None:
    with pytest.raises(SettingError, match="LIVEKIT_URL is") as caught:
        Settings.from_env({**COMPLETE, "LIVEKIT_URL": url})
    assert repr(url) in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("AGENT_MODE", "rehersal"),
        ("AGENT_EXECUTOR", "fibre"),
        ("AGENT_LOAD_THRESHOLD", "much"),
        ("AGENT_LOAD_THRESHOLD", "nan"),
        ("AGENT_LOAD_THRESHOLD", "0"),
        ("AGENT_LOAD_THRESHOLD", "1.5"),
        ("AGENT_SPEECH_TIMEOUT", "soon"),
        ("AGENT_SPEECH_TIMEOUT", "0"),
        ("AGENT_SPEECH_TIMEOUT", "nan"),
        ("AGENT_SPEECH_TIMEOUT", "inf"),
        ("AGENT_SPEECH_TIMEOUT", "1_0"),
        ("AGENT_LOAD_THRESHOLD", "\uff11"),
    ],
)
def test_a_value_that_is_wrong_is_shown(name: str, value: str) -> None:
    with pytest.raises(SettingError, match=f"^{name} is '{value}'"):
        Settings.from_env({name: value})
