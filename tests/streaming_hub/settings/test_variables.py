"""Variables: which source wins, which line of a file is malformed, which names nothing reads."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from streaming_hub.errors import SettingsError
from streaming_hub.settings.variables import doubts, read

if TYPE_CHECKING:
    from pathlib import Path

KNOWN = {
    "STREAM_SUBSCRIBE_KEYS",
    "STREAM_PORT",
    "AGENT_LLM_MODEL",
    *("LIVEKIT_URL", "LIVEKIT_API_KEY", "LIVEKIT_API_SECRET", "OPENAI_API_KEY", "OPENAI_BASE_URL"),
}


def test_the_environment_wins_over_env_local_over_env(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("A=1\nB=1\nC=1\n")
    (tmp_path / ".env.local").write_text("export A=2\nB='2' # why\n")
    assert read(tmp_path, {"A": "3", "B": " "}) == ({"A": "3", "B": "2", "C": "1"}, {})


def test_a_file_as_windows_writes_it(tmp_path: Path) -> None:
    (tmp_path / ".env.local").write_bytes("STREAM_PORT=1\r\nB=ü\r\n".encode("utf-8-sig"))
    assert read(tmp_path, {}) == ({"STREAM_PORT": "1", "B": "ü"}, {})


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("STREAM_OPERATOR_KEYS hunter2\n", 1),
        ("A=1\n\n# a comment\n  \nSTREAM_OPERATOR_KEYS: hunter2\nB=2\n", 5),
        ('STREAM_OPERATOR_KEYS="hunter2" hunter3\n', 1),
        ("A=1\r\n\r\n=hunter2\r\n", 3),
        ("STREAM_OPERATOR_KEYS=\nhunter2\n", 2),
    ],
)
def test_a_line_that_cannot_be_read_is_named_but_not_shown(tmp_path: Path, text: str, line: int) -> None:
    (tmp_path / ".env.local").write_bytes(text.encode())
    with pytest.raises(SettingsError) as caught:
        read(tmp_path, {})
    assert str(caught.value) == f".env.local, line {line}: expected NAME=value, or a comment."


@pytest.mark.parametrize(
    ("text", "line", "quote"),
    [
        ('A=1\nSTREAM_OPERATOR_KEYS="hunter2\n', 2, '"'),
        ("\nexport STREAM_OPERATOR_KEYS = 'hunter2\nB=2\n", 2, "'"),
        ('STREAM_OPERATOR_KEYS="hunter2\nB="2"\n', 1, '"'),
        ('STREAM_OPERATOR_KEYS="hunter2\\"', 1, '"'),
    ],
)
def test_a_quote_that_is_not_closed_is_reported(tmp_path: Path, text: str, line: int, quote: str) -> None:
    (tmp_path / ".env").write_text(text)
    with pytest.raises(SettingsError) as caught:
        read(tmp_path, {})
    assert (
        str(caught.value) == f".env, line {line}: the value begins with a quote ({quote}) that is not closed."
    )


def test_a_quoted_value_may_go_over_lines(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text('A="one\ntwo"\nB=2\n')
    assert read(tmp_path, {}).values == {"A": "one\ntwo", "B": "2"}


def test_what_dotenv_would_change_is_taken_as_written_and_noted(tmp_path: Path) -> None:
    text = "A=1\n\nB=${A}/x\nC='${A}'\nD=$A\nE=p${A:-2}#q\nexport F = a b\t# why\nG='a # b' # c\nH=#x\nI=\n"
    (tmp_path / ".env").write_text(text + 'J="a\\"b # c"\nK=1 # gone\n')
    (tmp_path / ".env.local").write_text("K=2\nL=3 # hidden\n")
    values, remarks = read(tmp_path, {"L": "4"})
    assert values == {
        "A": "1",
        "B": "${A}/x",
        "C": "${A}",
        "D": "$A",
        "E": "p${A:-2}#q",
        "F": "a b",
        "G": "a # b",
        "H": "#x",
        "I": "",
        "J": 'a"b # c',
        "K": "2",
        "L": "4",
    }
    assert remarks == {
        "B": (".env, line 3", None, True),
        "C": (".env, line 4", None, True),
        "E": (".env, line 6", None, True),
        "F": (".env, line 7", "a b\t# why", False),
    }


def test_a_file_in_another_encoding_is_named(tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes("A=ü\n".encode("utf-16"))
    with pytest.raises(SettingsError, match=r"^\.env: not valid UTF-8"):
        read(tmp_path, {})


def test_a_file_that_may_not_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> str:
        raise PermissionError(13, os.strerror(13))

    (tmp_path / ".env").write_text("A=1\n")
    monkeypatch.setattr("pathlib.Path.read_text", refuse)
    with pytest.raises(SettingsError, match=r"^\.env: Permission denied\.$"):
        read(tmp_path, {})


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("STREAM_SUBSCRIBE_KEY", "Did you mean STREAM_SUBSCRIBE_KEYS?"),
        ("STREAM_PROT", "Did you mean STREAM_PORT?"),
        ("AGENT_MODEL", "Did you mean AGENT_LLM_MODEL?"),
        ("STREAM_COLOUR_OF_THE_SKY", "See `flask_server.py --help`."),
        ("LIVEKIT_API_SECRT", "Did you mean LIVEKIT_API_SECRET?"),
        ("LIVEKIT_SECRET", "Did you mean LIVEKIT_API_SECRET?"),
        ("OPENAI_KEY", "Did you mean OPENAI_API_KEY?"),
        ("STREM_SUBSCRIBE_KEYS", "Did you mean STREAM_SUBSCRIBE_KEYS?"),
        ("STREAMSUBSCRIBE_KEYS", "Did you mean STREAM_SUBSCRIBE_KEYS?"),
        ("STR\u0415AM_SUBSCRIBE_KEYS", "Did you mean STREAM_SUBSCRIBE_KEYS?"),
    ],
)
def test_a_name_that_nothing_reads_is_reported_with_the_nearest(name: str, hint: str) -> None:
    (sentence,) = doubts({name: "hunter2", "STREAM_PORT": "1"}, KNOWN)
    assert sentence == f"{name} is not a known setting. {hint}"


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("\ufeffSTREAM_SUBSCRIBE_KEYS=a", r"\ufeffSTREAM_SUBSCRIBE_KEYS"),
        ('"STREAM_SUBSCRIBE_KEYS"=a', '"STREAM_SUBSCRIBE_KEYS"'),
        ("$env:STREAM_SUBSCRIBE_KEYS='a'", "$env:STREAM_SUBSCRIBE_KEYS"),
        ("\u200bSTREAM_SUBSCRIBE_KEYS=a", r"\u200bSTREAM_SUBSCRIBE_KEYS"),
        ("\u201cSTREAM_SUBSCRIBE_KEYS\u201d=a", "\u201cSTREAM_SUBSCRIBE_KEYS\u201d"),
    ],
)
def test_a_name_with_characters_that_no_name_has_is_reported(tmp_path: Path, line: str, shown: str) -> None:
    (tmp_path / ".env").write_text(f"A=1\n{line}\n", encoding="utf-8")
    (sentence,) = doubts(read(tmp_path, {}).values, KNOWN)
    assert sentence == f"{shown} is not a known setting: it is written STREAM_SUBSCRIBE_KEYS."


def test_other_names_and_empty_values_are_no_concern() -> None:
    assert doubts({"PATH": "x", "STREAM_PROT": " ", "LIVEKIT_API_SECRT": " "}, KNOWN) == ()


@pytest.mark.parametrize(
    "name",
    [
        *(
            "LIVEKIT_AGENT_NAME",
            "LIVEKIT_DEV_MODE",
            "LIVEKIT_LOG_LEVEL",
            "LIVEKIT_TOKEN",
            "LIVEKIT_WORKER_TOKEN",
        ),
        *("LIVEKIT_INFERENCE_API_KEY", "LIVEKIT_INFERENCE_API_SECRET", "LIVEKIT_INFERENCE_URL"),
        *("OPENAI_API_TYPE", "OPENAI_API_VERSION", "OPENAI_LOG", "OPENAI_ORG_ID", "OPENAI_PROJECT_ID"),
        *("OPENAI_RESPONSES_WS_URL", "OPENAI_WEBHOOK_SECRET"),
    ],
)
def test_names_of_other_libraries_are_no_concern(name: str) -> None:
    assert doubts({name: "x"}, KNOWN) == ()


def test_a_name_beside_the_one_it_resembles_is_not_a_typo() -> None:
    assert doubts({"OPENAI_ADMIN_KEY": "x", "OPENAI_API_KEY": "x"}, KNOWN) == ()
