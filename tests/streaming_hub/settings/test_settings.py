"""Settings: typed in one place, and a malformed one is refused by name.

Covers streaming_hub.settings.values, through the table.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from agent.settings import SettingError
from agent.settings import Settings as AgentSettings
from streaming_hub.errors import SettingsError
from streaming_hub.services import Services
from streaming_hub.settings import (
    AGENT_TABLE,
    READ_ELSEWHERE,
    TABLE,
    RateLimit,
    Setting,
    Settings,
    load,
    parse,
    values,
)

if TYPE_CHECKING:
    from pathlib import Path

DEFAULTS = {
    "STREAM_HOST": None,
    "STREAM_PORT": 5000,
    "STREAM_HISTORY": "sqlite:///data/events.db",
    "STREAM_HISTORY_MAX_EVENTS": 100_000,
    "STREAM_HISTORY_MAX_AGE": 86_400,
    "STREAM_HEARTBEAT": 15,
    "STREAM_QUEUE_SIZE": 256,
    "STREAM_MAX_CLIENTS": 10_000,
}
NAMED_IN_THE_DESIGN = [
    *DEFAULTS,
    *("STREAM_CORS_ORIGINS", "STREAM_PUBLISH_KEYS", "STREAM_SUBSCRIBE_KEYS", "STREAM_OPERATOR_KEYS"),
    *(
        "STREAM_JWT_SECRET",
        "STREAM_RATE_LIMIT",
        "STREAM_TRUSTED_PROXIES",
        "STREAM_ALLOW_OPEN",
        "STREAM_REDACT",
    ),
    *("LIVEKIT_URL", "LIVEKIT_API_KEY", "LIVEKIT_API_SECRET", "OPENAI_API_KEY", "OPENAI_BASE_URL"),
]

SIGNED = {"LIVEKIT_API_KEY": "devkey", "LIVEKIT_API_SECRET": "s" * 32}


def field_of(name: str) -> str:
    """The field that a variable sets."""
    return next(row.field for row in TABLE if row.name == name)


@pytest.mark.parametrize("name", NAMED_IN_THE_DESIGN)
def test_each_setting_of_the_design_is_there(name: str) -> None:
    value = getattr(Settings(), field_of(name))
    assert value == DEFAULTS.get(name, value)


def test_each_row_has_a_field_of_its_own_and_says_what_it_means() -> None:
    fields = {field.name for field in msgspec.structs.fields(Settings)} - {"agent", "demo", "doubts"}
    assert {row.field for row in TABLE} == fields
    assert len({row.name for row in TABLE}) == len(TABLE)
    assert all(row.meaning.endswith(".") and row.expects for row in TABLE)
    assert all(meaning.endswith(".") for meaning in AGENT_TABLE.values())


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("STREAM_PORT", "0", 0),
        ("STREAM_PORT", " 65535 ", 65535),
        ("STREAM_HISTORY", "memory://", "memory://"),
        ("STREAM_HISTORY", "sqlite:////var/lib/x.db", "sqlite:////var/lib/x.db"),
        ("STREAM_HISTORY_MAX_AGE", "1.5", 1.5),
        ("STREAM_HISTORY_SYNC", "FULL", "full"),
        ("STREAM_QUEUE_SIZE", "16", 16),
        ("STREAM_HISTORY_MAX_EVENTS", "100", 100),
        ("STREAM_PUBLISH_KEYS", "a, b,,c ", ("a", "b", "c")),
        ("STREAM_CORS_ORIGINS", "https://App.example.com,null", ("https://app.example.com", "null")),
        ("STREAM_RATE_LIMIT", "5/minute", RateLimit(5, 60)),
        ("STREAM_RATE_LIMIT", "100 / second", RateLimit(100, 1)),
        ("STREAM_ALLOW_OPEN", "yes", True),
        ("STREAM_ALLOW_OPEN", "0", False),
        ("STREAM_REDACT", "pack.age:function", "pack.age:function"),
        ("STREAM_LOG_FORMAT", "json", "json"),
        ("LIVEKIT_URL", "wss://x.livekit.cloud", "wss://x.livekit.cloud"),
        ("OPENAI_BASE_URL", "http://localhost:8000/v1", "http://localhost:8000/v1"),
    ],
)
def test_a_value_is_read_into_its_type(name: str, text: str, value: Any) -> None:
    assert getattr(parse({name: text}), field_of(name)) == value


@pytest.mark.parametrize(
    ("name", "text"),
    [
        *(("STREAM_PORT", text) for text in ("x", "-1", "65536", "1.5", "0x10", "5000;")),
        *(
            ("STREAM_HISTORY", text)
            for text in ("events.db", "sqlite://", "sqlite:///", "postgres://x", "memory")
        ),
        *(("STREAM_HISTORY_MAX_EVENTS", text) for text in ("0", "-5", "ten", "1e5")),
        *(("STREAM_HISTORY_MAX_AGE", text) for text in ("0", "-1", "nan", "inf", "24h")),
        *(("STREAM_HEARTBEAT", text) for text in ("0", "nan", "-15", "fast", "1e9")),
        *(("STREAM_QUEUE_SIZE", text) for text in ("0", "many")),
        *(("STREAM_MAX_CLIENTS", text) for text in ("0", "-1")),
        *(
            ("STREAM_CORS_ORIGINS", text)
            for text in ("*", "example.com", "https://x/path", "https://*.x.com", "ftp://x")
        ),
        *(
            ("STREAM_RATE_LIMIT", text)
            for text in ("5", "0/second", "5/hour", "-5/second", "5/s", "x/minute")
        ),
        *(("STREAM_ALLOW_OPEN", text) for text in ("maybe", "2")),
        *(("STREAM_REDACT", text) for text in ("module", "module:", ":name", "a b:c", "module:name()")),
        *(("STREAM_HISTORY_SYNC", text) for text in ("off", "extra")),
        ("STREAM_LOG_FORMAT", "xml"),
        ("LIVEKIT_URL", "localhost:7880"),
        ("OPENAI_BASE_URL", "not a url"),
        *(
            (name, text)
            for name in ("STREAM_HEARTBEAT", "STREAM_QUEUE_SIZE", "STREAM_PORT", "STREAM_HISTORY_MAX_AGE")
            for text in ("1_5", "\u0661\u0665", "\uff11\uff15", "1 5", "15\u200b")
        ),
        ("STREAM_WEBHOOK_RETRIES", "5,3_0"),
        ("STREAM_WEBHOOK_RETRIES", ","),
        ("STREAM_TRUSTED_PROXIES", ","),
        ("STREAM_CORS_ORIGINS", ",,"),
        *(
            ("STREAM_HOST", text)
            for text in (
                "two words",
                "http://localhost",
                "127.0.0.1:5000",
                "localhost:5000",
                "[::1]",
                "*",
                "0.0.0.0/0",
                "a..b",
                "a" * 64,
            )
        ),
    ],
)
def test_a_malformed_value_is_refused_by_name(name: str, text: str) -> None:
    with pytest.raises(SettingsError) as caught:
        parse({name: text})
    assert str(caught.value).startswith(f"{name}={text!r}: expected ")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("AGENT_EXECUTOR", "foo"),
        ("AGENT_EXECUTOR", "Thread"),
        ("AGENT_LOAD_THRESHOLD", "70%"),
        ("AGENT_LOAD_THRESHOLD", "0"),
        ("AGENT_LOAD_THRESHOLD", "nan"),
        ("AGENT_SPEECH_TIMEOUT", "soon"),
        ("AGENT_SPEECH_TIMEOUT", "1_0"),
        ("AGENT_LOAD_THRESHOLD", "0.7_5"),
    ],
)
def test_what_the_agent_would_refuse_is_refused_at_once(name: str, text: str) -> None:
    with pytest.raises(SettingsError, match=f"^{name}={text!r}: expected "):
        parse({name: text})
    with pytest.raises(SettingError, match=f"^{name} is {text!r}"):
        AgentSettings.from_env({name: text})


def test_what_the_agent_takes_is_taken() -> None:
    values = {"AGENT_EXECUTOR": "process", "AGENT_LOAD_THRESHOLD": "0.8"}
    assert parse({**values, "AGENT_VOICE": " "}).agent == values
    AgentSettings.from_env(values)


def test_a_misspelt_name_is_reported_with_the_one_that_was_meant() -> None:
    doubts = parse({"STREAM_SUBSCRIBE_KEY": "a-secret-key", "STREAM_PORT": "1", "AGENT_VOICE": "ash"}).doubts
    assert doubts == ("STREAM_SUBSCRIBE_KEY is not a known setting. Did you mean STREAM_SUBSCRIBE_KEYS?",)


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("STREAM_KEYS", "STREAM_OPERATOR_KEYS, STREAM_PUBLISH_KEYS or STREAM_SUBSCRIBE_KEYS"),
        ("STREAM_PUBLISH_KEYZ", "STREAM_PUBLISH_KEYS"),
        ("STREAM_MAX_AGE", "STREAM_ARCHIVE_MAX_AGE or STREAM_HISTORY_MAX_AGE"),
        ("AGENT_MODEL", "AGENT_LLM_MODEL, AGENT_STT_MODEL or AGENT_TTS_MODEL"),
    ],
)
def test_only_what_the_hub_reads_is_suggested(name: str, meant: str) -> None:
    assert parse({name: "x"}).doubts == (f"{name} is not a known setting. Did you mean {meant}?",)


@pytest.mark.parametrize("name", READ_ELSEWHERE)
def test_no_misspelling_leads_to_what_only_others_read(name: str) -> None:
    for misspelt in (f"{name}S", name[:-1], name.replace("_", "", 1)):
        assert all(f" {name}?" not in doubt for doubt in parse({misspelt: "x"}).doubts), misspelt


def test_what_agents_and_examples_read_is_no_misspelling() -> None:
    names = ("STREAM_URL", "STREAM_PUBLISH_KEY", "STREAM_KEY", "AGENT_ROOM")
    assert parse(dict.fromkeys(names, "x")).doubts == ()


@pytest.mark.parametrize("name", ["STREAM_PUBLISH_KEYS", "STREAM_SUBSCRIBE_KEYS", "STREAM_OPERATOR_KEYS"])
@pytest.mark.parametrize("text", [",", ",,", " , "])
def test_commas_without_a_key_do_not_leave_a_scope_open(name: str, text: str) -> None:
    with pytest.raises(SettingsError, match=f"^{name}="):
        parse({name: text})


@pytest.mark.parametrize(
    "text", ["127.0.0.1", "::1", "fe80::1%eth0", "0.0.0.0", "hub.example", "m\u00fcnchen.example", "my_host"]
)
def test_a_host_is_a_name_or_an_address(text: str) -> None:
    assert parse({"STREAM_HOST": text}).host == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, ""),
        ((), ""),
        (True, "on"),
        (False, "off"),
        (86_400.0, "86400"),
        (0.5, "0.5"),
        (("error", "session_ended"), "error,session_ended"),
        ((5.0, 300.0), "5,300"),
    ],
)
def test_a_value_is_shown_as_its_variable_is_written(value: object, text: str) -> None:
    assert values.written(value) == text


@pytest.mark.parametrize("setting", TABLE, ids=lambda setting: setting.name)
def test_a_default_that_is_shown_can_be_read_back(setting: Setting) -> None:
    default = getattr(Settings(), setting.field)
    text = values.written(default)
    assert not text or setting.read(text) == default


def test_a_secret_is_never_repeated() -> None:
    with pytest.raises(SettingsError) as caught:
        parse({"STREAM_JWT_SECRET": "too-short-secret"})
    assert "STREAM_JWT_SECRET" in str(caught.value)
    assert "too-short" not in str(caught.value)


def test_an_empty_value_counts_as_not_set() -> None:
    assert parse({row.name: " " for row in TABLE}) == Settings()


def test_the_environment_wins_over_env_local_over_env(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("STREAM_PORT=1\nSTREAM_HEARTBEAT=1\nSTREAM_QUEUE_SIZE=1\nAGENT_VOICE=x\n")
    (tmp_path / ".env.local").write_text('STREAM_PORT=2\nSTREAM_HEARTBEAT="2"\n')
    found = load({"STREAM_PORT": "3"}, tmp_path)
    assert (found.port, found.heartbeat, found.queue_size, found.agent) == (3, 2.0, 1, {"AGENT_VOICE": "x"})
    assert load({"STREAM_PORT": "3"}, tmp_path, port=4).port == 4


@pytest.mark.parametrize("quote", ['"', "'"])
@pytest.mark.parametrize(
    "name",
    ["STREAM_PORT", "STREAM_PUBLISH_KEYS", "STREAM_JWT_SECRET", "OPENAI_API_KEY", "AGENT_INSTRUCTIONS"],
)
def test_quotes_that_docker_passes_on_are_refused_by_name_and_not_shown(name: str, quote: str) -> None:
    with pytest.raises(SettingsError, match=f"^{name}: the value is quoted") as caught:
        parse({name: f"{quote}hunter2{'x' * 40}{quote}"})
    assert "hunter2" not in str(caught.value)


def test_a_quote_at_one_end_is_a_part_of_the_value() -> None:
    assert parse({"OPENAI_API_KEY": '"abc', "LIVEKIT_API_KEY": "it's"}).openai_api_key == '"abc'


@pytest.mark.parametrize(
    "line",
    [
        "STREAM_PUBLISH_KEYS=a,hunter2 # ours",
        "STREAM_JWT_SECRET=0123456789012345678901234567890123 #hunter2",
        "LIVEKIT_API_SECRET=hunter2 # of work",
        "AGENT_INSTRUCTIONS=Take hunter2's order #5 politely.",
    ],
)
def test_what_may_be_a_comment_or_a_part_of_the_value_is_refused(tmp_path: Path, line: str) -> None:
    (tmp_path / ".env").write_text(f"# first\n{line}\n")
    with pytest.raises(SettingsError, match=r"^\.env, line 2: the text after # in [A-Z_]+ may be") as caught:
        load({}, tmp_path)
    assert "hunter2" not in str(caught.value)
    name = line.partition("=")[0]
    load({name: "x" * 40}, tmp_path)  # the environment's own is in force


def test_what_can_only_be_a_comment_is_one(tmp_path: Path) -> None:
    text = "STREAM_PORT=81 # ours\nSTREAM_CORS_ORIGINS=https://a.example # ours\nOTHER=a # b\n"
    (tmp_path / ".env").write_text(text + 'LIVEKIT_API_SECRET="a # b" # c\nOPENAI_API_KEY=a#b # c\n')
    settings = load({}, tmp_path)
    assert (settings.port, settings.cors_origins) == (81, ("https://a.example",))
    assert (settings.livekit_api_secret, settings.openai_api_key) == ("a # b", "a#b")
    assert settings.doubts == ()


def test_what_other_programs_expand_is_taken_as_written_and_reported(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("SECRET=hunter2\nLIVEKIT_API_SECRET=${SECRET}\nOTHER=${SECRET}\n")
    settings = load({"SECRET": "hunter3"}, tmp_path)
    assert settings.livekit_api_secret == "${SECRET}"
    (doubt,) = settings.doubts
    assert doubt.startswith(".env, line 2: LIVEKIT_API_SECRET contains ${...}")


def test_each_instance_has_an_agent_dict_of_its_own() -> None:
    one, other = Settings(), Settings()
    one.agent["x"] = "y"
    assert other.agent == {}


def test_an_empty_variable_does_not_hide_what_a_file_says(tmp_path: Path) -> None:
    (tmp_path / ".env.local").write_text("STREAM_SUBSCRIBE_KEYS=a-key-of-the-file\n")
    settings = load(environ={"STREAM_SUBSCRIBE_KEYS": ""}, folder=tmp_path)
    assert settings.subscribe_keys == ("a-key-of-the-file",)


@pytest.mark.parametrize(
    ("text", "rooms"),
    [("off", ()), ("ALL", ("*",)), ("support-*, demo", ("support-*", "demo")), ("", ())],
)
def test_rooms_that_are_watched(text: str, rooms: tuple[str, ...]) -> None:
    assert parse({"STREAM_WATCH": text}).watch == rooms


def test_watching_needs_livekit() -> None:
    with pytest.raises(SettingsError, match=r"STREAM_WATCH needs LiveKit: LIVEKIT_URL, .* are not set"):
        Services(parse({"STREAM_WATCH": "all", "STREAM_HISTORY": "memory://"}))


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({}, "needs uploads"),
        ({"STREAM_OBSERVABILITY": "off", **SIGNED}, "needs uploads"),
        (
            {"STREAM_ARCHIVE": "postgresql+psycopg://u@localhost/x", **SIGNED},
            "needs STREAM_ARCHIVE_AUDIO_DIR",
        ),
    ],
)
def test_keeping_audio_needs_uploads_and_a_folder(settings: dict[str, str], why: str) -> None:
    with pytest.raises(SettingsError, match=why):
        Services(parse({"STREAM_HISTORY": "memory://", "STREAM_ARCHIVE_AUDIO": "on", **settings}))


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({}, "LIVEKIT_API_KEY and LIVEKIT_API_SECRET are not set and there is no archive"),
        (
            {"LIVEKIT_API_KEY": "key", "STREAM_ARCHIVE": "sqlite:///a.db"},
            "because LIVEKIT_API_SECRET is not set",
        ),
        (SIGNED, r"because there is no archive \(STREAM_ARCHIVE\)"),
    ],
)
def test_taking_uploads_needs_a_secret_and_an_archive(
    settings: dict[str, str], why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SettingsError, match=f"^STREAM_OBSERVABILITY=on: .*{why}"):
        Services(parse({"STREAM_HISTORY": "memory://", "STREAM_OBSERVABILITY": "on", **settings}))


@pytest.mark.parametrize("settings", [{}, {"STREAM_OBSERVABILITY": "off", **SIGNED}])
def test_keeping_prompts_needs_uploads(settings: dict[str, str]) -> None:
    with pytest.raises(SettingsError, match=r"^STREAM_OBSERVABILITY_PROMPTS=on needs uploads"):
        Services(parse({"STREAM_HISTORY": "memory://", "STREAM_OBSERVABILITY_PROMPTS": "on", **settings}))


@pytest.mark.parametrize(
    ("name", "value", "other", "others"),
    [
        ("STREAM_ARCHIVE_AUDIO_DIR", "audio", "STREAM_ARCHIVE_AUDIO", "on"),
        ("STREAM_WEBHOOK_SECRET", f"whsec_{'a' * 32}", "STREAM_WEBHOOK_URL", "https://a.example"),
        ("STREAM_WEBHOOK_TYPES", "*", "STREAM_WEBHOOK_URL", "https://a.example"),
    ],
)
def test_a_setting_without_effect_is_reported(name: str, value: str, other: str, others: str) -> None:
    assert parse({name: value}).doubts == (f"{name} has no effect: {other} is not set.",)
    assert parse({name: value, other: others}).doubts == ()


@pytest.mark.parametrize(
    ("name", "text"),
    [
        *(("STREAM_HISTORY", f"sqlite:///{path}") for path in ("~/e.db", "e.db?mode=ro", ":memory:")),
        *(("STREAM_ARCHIVE", f"sqlite:///{path}") for path in ("~/a.db", ":memory:", "a.db?mode=ro")),
        *(("STREAM_ARCHIVE", f"postgresql+psycopg://u:p@h:{port}/d") for port in ("abc", "65536", "-1")),
        ("STREAM_ARCHIVE", "postgresql+psycopg://u:p@x@h/d"),
        *(
            (name, f"{scheme}://{place}")
            for name, scheme in (("LIVEKIT_URL", "wss"), ("OPENAI_BASE_URL", "http"))
            for place in ("[::1", "h:99999", "h:abc", "h,", "<h>", "u@", ":80", "h a")
        ),
        *(("STREAM_WATCH", text) for text in ("on", "True", "none", "off,", "all, demo")),
        ("STREAM_CORS_ORIGINS", "https://app.example:443"),
        ("STREAM_RATE_LIMIT", "1\u0660/second"),
        ("STREAM_REDACT", "pack..age:function"),
        ("STREAM_REDACT", "pack.:function"),
        ("STREAM_ARCHIVE_AUDIO_DIR", "~/audio"),
        ("OPENAI_API_KEY", "\u201csk-x\u201d"),
        ("OPENAI_API_KEY", "sk-a\nsk-b"),
        ("LIVEKIT_API_KEY", "one two"),
        ("STREAM_CORS_ORIGINS", "http://app.example:80"),
        ("STREAM_CORS_ORIGINS", "https://app.example:65536"),
        ("STREAM_CORS_ORIGINS", "https://b\u00fccher.example"),
        ("STREAM_CORS_ORIGINS", "https://user@app.example"),
        ("STREAM_PUBLISH_KEYS", "one\ntwo"),
        ("AGENT_STT_REALTIME", "maybe"),
        ("OPENAI_BASE_URL", "ws://localhost:8000"),
    ],
)
def test_what_would_be_taken_for_something_else_is_refused(name: str, text: str) -> None:
    with pytest.raises(SettingsError, match=rf"^{name}=.*: expected "):
        parse({name: text})


@pytest.mark.parametrize(
    "origin", ["http://[::1]:3000", "http://my_host:8080", "https://App.Example", "null"]
)
def test_origins_as_browsers_send_them(origin: str) -> None:
    assert parse({"STREAM_CORS_ORIGINS": origin}).cors_origins == (origin.lower(),)


@pytest.mark.parametrize("name", ["stream_publish_keys", "Stream_Publish_Keys", "STREAM-PUBLISH-KEYS"])
def test_a_name_in_other_letters_is_reported(name: str) -> None:
    assert parse({name: "x"}).doubts == (
        f"{name} is not a known setting: it is written STREAM_PUBLISH_KEYS.",
    )


def test_a_folder_or_a_broken_link_in_the_place_of_a_file_is_reported(tmp_path: Path) -> None:
    (tmp_path / ".env").mkdir()
    (tmp_path / ".env.local").symlink_to(tmp_path / "missing")
    one, other = load({}, tmp_path).doubts
    assert one.startswith(".env is a directory, so no settings are read from it.")
    assert other == ".env.local is a link to a missing file, so no settings are read from it."


@pytest.mark.parametrize("name", ["AGENT_INSTRUCTIONS", "AGENT_NAME", "AGENT_OF_MY_OWN"])
def test_a_value_that_no_process_can_be_given_is_refused_by_name(name: str) -> None:
    with pytest.raises(SettingsError, match=rf"^{name}: .*NUL"):
        parse({name: "a\0b"})


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("STREAM_ARCHIVE", "postgresql+psycopg://u:p%40:x@h:5432/d?options=-csearch_path%3Da@b"),
        ("STREAM_ARCHIVE", "postgresql+psycopg://u:p/w#d@[::1]/d"),
        ("STREAM_ARCHIVE", "postgresql+psycopg:///d?host=/var/run/postgresql"),
        ("LIVEKIT_URL", "wss://user:pass@[::1]:7880/path?x=1"),
        ("LIVEKIT_URL", "ws://my_host"),
        ("OPENAI_BASE_URL", "http://b\u00fccher.example:8000/v1"),
    ],
)
def test_unusual_addresses_are_taken(name: str, text: str) -> None:
    parse({name: text})
