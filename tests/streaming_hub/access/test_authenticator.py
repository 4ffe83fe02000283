"""What is open when, what a credential allows, which view it has, and how refusals read."""

from typing import Any

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streaming_hub.access import Authenticator, Grant, credential_of
from streaming_hub.errors import (
    Forbidden,
    HubError,
    SettingsError,
    Unauthorized,
)

NOW = 1_700_000_000.0
SECRET = "hub-secret-of-at-least-32-bytes-______"
LIVEKIT = "livekit-secret-of-at-least-32-bytes-__"
KEYED = {"publish_keys": ["p"], "subscribe_keys": ["s"], "operator_keys": ["o"]}


def hub(**settings: Any) -> Authenticator:
    return Authenticator(**{"ticket_secret": b"kept", **settings})


def livekit_token(room: str = "r1", secret: str = LIVEKIT) -> str:
    return jwt.encode({"video": {"room": room}, "exp": NOW + 60, "iss": "devkey", "sub": "bob"}, secret)


def allowed(auth: Authenticator, grant: Grant) -> set[str]:
    scopes = set()
    for scope in ("publish", "subscribe", "operate", "join"):
        try:
            auth.require(grant, scope)
        except (Unauthorized, Forbidden):
            continue
        scopes.add(scope)
    return scopes


@pytest.mark.parametrize(
    ("settings", "opened"),
    [
        ({}, {"publish", "subscribe", "operate", "join"}),
        ({"publish_keys": ["p"]}, {"subscribe", "operate"}),
        ({"subscribe_keys": ["s"]}, {"publish", "operate"}),
        ({"operator_keys": ["o"]}, {"publish", "subscribe"}),
        (KEYED, set()),
        ({"jwt_secret": SECRET}, set()),
        (
            {"livekit_api_key": "devkey", "livekit_api_secret": LIVEKIT, "agent_key": "made-up"},
            {"publish", "subscribe", "operate", "join"},
        ),
        (
            {"jwt_secret": "", "livekit_api_secret": "", "agent_key": ""},
            {"publish", "subscribe", "operate", "join"},
        ),
    ],
)
def test_what_is_open_without_a_credential(settings: dict[str, Any], opened: set[str]) -> None:
    auth = hub(**settings)
    assert allowed(auth, auth.authenticate(None, NOW)) == opened
    assert auth.open_scopes == opened
    assert auth.any_open is bool(opened)
    assert auth.all_open is (len(opened) == 4)


@pytest.mark.parametrize(
    ("credential", "who", "scopes", "view"),
    [
        ("p", "publish-key-1", {"publish"}, "viewer"),
        ("s", "subscribe-key-1", {"subscribe"}, "viewer"),
        ("o", "operator-key-1", {"publish", "subscribe", "operate", "join"}, "operator"),
        ("made-up", "agent-key", {"publish"}, "viewer"),
        (None, "anonymous", set(), "viewer"),
    ],
)
def test_what_each_key_allows_on_a_closed_hub(
    credential: str | None, who: str, scopes: set[str], view: str
) -> None:
    auth = hub(**KEYED, agent_key="made-up")
    grant = auth.authenticate(credential, NOW)
    assert (grant.who, allowed(auth, grant), grant.rooms, grant.view) == (who, scopes, None, view)
    assert grant.expires_at is None
    assert grant.anonymous is (credential is None)


def test_a_key_keeps_what_is_open_anyway() -> None:
    auth = hub(publish_keys=["p"], operator_keys=["o"])
    assert allowed(auth, auth.authenticate("p", NOW)) == {"publish", "subscribe"}


@pytest.mark.parametrize("settings", [{"publish_keys": ["p"]}, {"subscribe_keys": ["s"]}])
def test_tokens_for_rooms_are_not_handed_out_by_a_hub_that_has_keys_but_none_for_operators(
    settings: Any,
) -> None:
    auth = hub(**settings)
    assert "operate" in allowed(auth, auth.authenticate(None, NOW))
    with pytest.raises(Unauthorized, match="join"):
        auth.require(auth.authenticate(None, NOW), "join")


# Views


@pytest.mark.parametrize("operator_keys", [[], ["o"]])
@pytest.mark.parametrize("credential", [None, "s"])
def test_while_operate_is_open_keys_and_anonymous_callers_see_everything(
    operator_keys: list[str], credential: str | None
) -> None:
    auth = hub(subscribe_keys=["s"], operator_keys=operator_keys)
    assert auth.authenticate(credential, NOW).view == ("viewer" if operator_keys else "operator")


@pytest.mark.parametrize("settings", [{}, KEYED, {"jwt_secret": SECRET}])
def test_a_livekit_token_is_for_its_room_and_the_viewers_view_on_any_hub(settings: dict[str, Any]) -> None:
    auth = hub(**settings, livekit_api_key="devkey", livekit_api_secret=LIVEKIT)
    grant = auth.authenticate(livekit_token("r1"), NOW)
    assert (allowed(auth, grant), grant.rooms, grant.view) == ({"subscribe"}, frozenset({"r1"}), "viewer")
    auth.require(grant, "subscribe", "r1")
    for scope, room in (("subscribe", "r2"), ("publish", "r1"), ("operate", "r1"), ("join", "r1")):
        with pytest.raises(Forbidden):
            auth.require(grant, scope, room)


@pytest.mark.parametrize(
    ("credential", "view"), [("s", "viewer"), ("o", "operator"), (livekit_token(), "viewer")]
)
def test_a_ticket_has_the_view_of_the_caller_that_requested_it(credential: str, view: str) -> None:
    auth = hub(**KEYED, livekit_api_secret=LIVEKIT)
    ticket, _ = auth.mint_ticket(auth.authenticate(credential, NOW), None, NOW)
    grant = auth.open_ticket(ticket, NOW)
    assert isinstance(grant, Grant)
    assert (grant.view, allowed(auth, grant)) == (view, {"subscribe"})


# Callers for whom nothing is open


@pytest.mark.parametrize(
    ("settings", "credential", "scopes", "view"),
    [
        ({}, None, set(), "viewer"),
        ({}, "unknown", set(), "viewer"),
        ({"subscribe_keys": ["s"]}, "s", {"subscribe"}, "viewer"),
        ({"operator_keys": ["o"]}, "o", {"publish", "subscribe", "operate", "join"}, "operator"),
    ],
)
def test_without_open_access_only_credentials_count(
    settings: dict[str, Any], credential: str | None, scopes: set[str], view: str
) -> None:
    auth = hub(**settings)
    grant = auth.authenticate(credential, NOW, open_access=False)
    assert (allowed(auth, grant), grant.view) == (scopes, view)


def test_the_refusal_then_says_how_to_get_in() -> None:
    auth = hub()
    with pytest.raises(Unauthorized, match="STREAM_TRUSTED_PROXIES"):
        auth.require(auth.authenticate(None, NOW, open_access=False), "publish")


# Wrong credentials


@pytest.mark.parametrize(
    ("settings", "credential"),
    [
        (KEYED, "wrong"),
        (KEYED, "P"),
        (KEYED, "a.b.c"),
        ({"publish_keys": ["p"]}, "wrong"),
        ({"jwt_secret": SECRET}, "wrong"),
        ({"jwt_secret": SECRET}, "a.b.c"),
        ({"jwt_secret": SECRET}, SECRET),
        ({"livekit_api_secret": LIVEKIT}, "a.b.c"),
        ({"livekit_api_secret": LIVEKIT}, livekit_token(secret="another secret of at least 32 bytes")),
    ],
)
def test_a_wrong_credential_is_refused_even_where_none_is_needed(settings: Any, credential: str) -> None:
    with pytest.raises(Unauthorized) as refused:
        hub(**settings).authenticate(credential, NOW)
    assert len(credential) < 3 or credential not in refused.value.detail


@pytest.mark.parametrize("settings", [{}, {"livekit_api_secret": LIVEKIT}, {"agent_key": "made-up"}])
def test_while_nothing_is_keyed_an_unknown_key_is_anonymous(settings: dict[str, Any]) -> None:
    auth = hub(**settings)
    assert auth.authenticate("left over from yesterday", NOW) == auth.authenticate(None, NOW)


def test_where_no_token_can_be_checked_a_token_is_anonymous_too() -> None:
    assert hub().authenticate(livekit_token(), NOW).anonymous


def test_a_key_with_two_dots_is_a_key() -> None:
    assert hub(publish_keys=["a.b.c"], jwt_secret=SECRET).authenticate("a.b.c", NOW).who == "publish-key-1"


@pytest.mark.parametrize("scope", ["publish", "subscribe", "operate", "join", "nonsense"])
def test_401_without_a_credential_and_403_with_one_that_lacks_the_scope(scope: str) -> None:
    auth = hub(**KEYED)
    with pytest.raises(Unauthorized, match=rf"{scope}: send `Authorization: Bearer KEY` or `X-API-Key: KEY`"):
        auth.require(auth.authenticate(None, NOW), scope)
    other = "s" if scope == "publish" else "p"
    with pytest.raises(Forbidden, match=f"{'subscribe' if other == 's' else 'publish'}-key-1.*{scope}"):
        auth.require(auth.authenticate(other, NOW), scope)


def test_an_unusable_setting_stops_the_server() -> None:
    with pytest.raises(SettingsError, match="STREAM_OPERATOR_KEYS"):
        hub(operator_keys=[""])


@given(st.none() | st.text(st.characters(exclude_categories=())))
def test_no_credential_raises_anything_but_a_refusal(credential: str | None) -> None:
    for settings in ({}, KEYED, {"jwt_secret": SECRET, "livekit_api_secret": LIVEKIT}):
        try:
            grant = hub(**settings).authenticate(credential, NOW)
        except Unauthorized:
            continue
        assert grant.anonymous or credential in {"p", "s", "o"}


# Headers


@pytest.mark.parametrize(
    ("authorization", "api_key", "credential"),
    [
        (None, None, None),
        ("Bearer abc", None, "abc"),
        ("bearer  abc ", None, "abc"),
        ("BEARER a b", None, "a b"),
        (None, "abc", "abc"),
        (None, " abc ", "abc"),
        ("Bearer abc", "abc", "abc"),
        ("Bearer ", None, None),
        ("Bearer", "", None),
        ("Basic dXNlcg==", None, None),
        ("Basic dXNlcg==", "abc", "abc"),
        ("abc", None, None),
        ("Bearerabc", None, None),
    ],
)
def test_both_headers_mean_the_same(
    authorization: str | None, api_key: str | None, credential: str | None
) -> None:
    assert credential_of(authorization, api_key) == credential


def test_two_credentials_are_refused_without_repeating_them() -> None:
    with pytest.raises(Unauthorized) as refused:
        credential_of("Bearer first", "second")
    assert "first" not in refused.value.detail
    assert "second" not in refused.value.detail


@given(st.none() | st.text(), st.none() | st.text())
def test_no_header_raises_anything_but_a_refusal(authorization: str | None, api_key: str | None) -> None:
    try:
        credential = credential_of(authorization, api_key)
    except HubError:
        return
    assert credential is None or credential.strip() == credential != ""
