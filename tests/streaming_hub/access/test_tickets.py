"""Tickets: never more than their caller, never a bearer credential, and told apart once they have expired."""

import json
from typing import Any

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streaming_hub.access import Authenticator, Expired, Grant
from streaming_hub.access.tickets import TicketBox, signing_key
from streaming_hub.errors import Forbidden, HubError, Unauthorized

NOW = 1_700_000_000.0
SECRET = "hub-secret-of-at-least-32-bytes-______"
KEY = signing_key([["some key"]], b"kept across restarts")
BOX = TicketBox(KEY)
REFUSAL = "The ticket is not one of this hub's: get a new one from POST /api/stream/ticket."


def caller(rooms: set[str] | None = None, view: Any = "viewer", expires_at: float | None = None) -> Grant:
    scopes = frozenset({"publish", "subscribe", "operate", "join"})
    return Grant("subscribe-key-1", scopes, None if rooms is None else frozenset(rooms), view, expires_at)


def opened(ticket: str) -> Grant:
    grant = BOX.open(ticket, NOW)
    assert isinstance(grant, Grant)
    return grant


@pytest.mark.parametrize("rooms", [None, {"a"}, {"a", "b"}, set()])
@pytest.mark.parametrize("view", ["viewer", "operator"])
@pytest.mark.parametrize("expires_at", [None, NOW + 7200.5])
def test_a_ticket_carries_rooms_view_and_expiry_but_only_the_right_to_subscribe(
    rooms: set[str] | None, view: str, expires_at: float | None
) -> None:
    ticket, expires_in = BOX.mint(caller(rooms, view, expires_at), None, NOW, 600)
    expected = Grant(
        "ticket:subscribe-key-1",
        frozenset({"subscribe"}),
        None if rooms is None else frozenset(rooms),
        "operator" if view == "operator" else "viewer",
        expires_at,
    )
    assert (opened(ticket), expires_in) == (expected, 600)


@pytest.mark.parametrize(("rooms", "room"), [(None, "a"), ({"a", "b"}, "a")])
def test_a_ticket_can_be_for_one_of_the_callers_rooms(rooms: set[str] | None, room: str) -> None:
    assert opened(BOX.mint(caller(rooms), room, NOW, 600)[0]).rooms == frozenset({"a"})


@pytest.mark.parametrize(("rooms", "room"), [({"b"}, "a"), (set(), "a"), ({"b"}, "")])
def test_no_ticket_for_another_room(rooms: set[str], room: str) -> None:
    with pytest.raises(Forbidden, match=repr(room)):
        BOX.mint(caller(rooms), room, NOW, 600)


@pytest.mark.parametrize(
    ("ttl", "expires_at", "lasts"),
    [
        (600, None, 600),
        (86_400, None, 600),
        (5, None, 5),
        (600, NOW + 10, 10),
        (600, NOW + 10.9, 10),
        (600, NOW + 0.5, 0),
        (600, NOW + 601, 600),
    ],
)
def test_a_ticket_lasts_no_longer_than_ten_minutes_or_its_credential(
    ttl: float, expires_at: float | None, lasts: int
) -> None:
    ticket, expires_in = BOX.mint(caller(expires_at=expires_at), None, NOW, ttl)
    assert expires_in == lasts
    assert isinstance(BOX.open(ticket, NOW + lasts - 0.1 if lasts else NOW), Grant)
    assert isinstance(BOX.open(ticket, NOW + lasts + 1), Expired)


@pytest.mark.parametrize("expires_at", [NOW, NOW - 1])
def test_an_expired_credential_gets_no_ticket(expires_at: float) -> None:
    with pytest.raises(Unauthorized, match="expired"):
        BOX.mint(caller(expires_at=expires_at), None, NOW, 600)


def test_an_expired_ticket_differs_from_a_wrong_one() -> None:
    ticket, _ = BOX.mint(caller(), None, NOW, 600)
    assert BOX.open(ticket, NOW + 600) == Expired("ticket:subscribe-key-1")
    with pytest.raises(Unauthorized, match="POST /api/stream/ticket"):
        BOX.open(ticket[:-2], NOW + 600)


def test_rooms_that_do_not_fit_into_a_url_are_refused_with_the_way_out() -> None:
    grant = caller({f"a room with a long name {number}" for number in range(500)})
    with pytest.raises(Forbidden, match='"room"'):
        BOX.mint(grant, None, NOW, 600)
    assert opened(BOX.mint(grant, "a room with a long name 7", NOW, 600)[0]).rooms is not None


def test_a_changed_ticket_is_refused() -> None:
    narrow, _ = BOX.mint(caller({"a"}), None, NOW, 600)
    wide, _ = TicketBox("0" * 64).mint(caller(view="operator"), None, NOW, 600)
    head, _, signature = narrow.split(".")
    for forged in (wide, f"{head}.{wide.split('.')[1]}.{signature}"):
        with pytest.raises(Unauthorized):
            BOX.open(forged, NOW)


CLAIMS = {"aud": "/api/stream", "exp": NOW + 9, "who": "x", "rooms": None, "view": "operator", "until": None}


@pytest.mark.parametrize(
    ("claims", "header"),
    [
        (CLAIMS, {"typ": "JWT"}),
        (CLAIMS, {"typ": ""}),
        ({**CLAIMS, "aud": "elsewhere"}, {"typ": "stream-ticket+jwt"}),
        ({**CLAIMS, "view": "admin"}, {"typ": "stream-ticket+jwt"}),
        ({**CLAIMS, "scope": "operate"}, {"typ": "stream-ticket+jwt"}),
        ({k: v for k, v in CLAIMS.items() if k != "rooms"}, {"typ": "stream-ticket+jwt"}),
    ],
)
def test_the_right_key_alone_does_not_make_a_ticket(claims: dict[str, Any], header: dict[str, str]) -> None:
    sign = jwt.PyJWS().encode
    assert BOX.open(sign(json.dumps(CLAIMS).encode(), KEY, headers={"typ": "stream-ticket+jwt"}), NOW)
    with pytest.raises(Unauthorized):
        BOX.open(sign(json.dumps(claims).encode(), KEY, headers=header), NOW)


@pytest.mark.parametrize("algorithm", ["none", "HS384", "HS512"])
def test_a_ticket_of_another_algorithm_is_refused(algorithm: str) -> None:
    key = None if algorithm == "none" else KEY
    ticket = jwt.encode(CLAIMS, key, algorithm=algorithm, headers={"typ": "stream-ticket+jwt"})
    with pytest.raises(Unauthorized):
        BOX.open(ticket, NOW)


@pytest.mark.parametrize("text", ["", "..", "e30.e30.e30", "\ud800.\ud800.\ud800", "ü.ü.ü", "\0.\0.\0"])
def test_text_that_is_no_ticket_is_refused(text: str) -> None:
    with pytest.raises(Unauthorized):
        BOX.open(text, NOW)


@given(st.text(st.characters(exclude_categories=())) | st.from_regex(r"\A[\w-]*\.[\w-]*\.[\w=-]*\Z"))
def test_no_text_raises_anything_but_a_refusal(text: str) -> None:
    with pytest.raises(HubError) as refused:
        BOX.open(text, NOW)
    # The sentence is the same for every text, so it repeats none.
    assert refused.value.detail == REFUSAL


# Tickets and bearer credentials


def hub(**settings: Any) -> Authenticator:
    return Authenticator(**{"ticket_secret": b"kept", **settings})


def test_a_ticket_is_not_a_bearer_credential_and_a_token_is_not_a_ticket() -> None:
    for secrets in ({"jwt_secret": SECRET}, {"jwt_secret": SECRET, "livekit_api_secret": SECRET}):
        auth = hub(**secrets)
        token = jwt.encode({"scope": "subscribe", "exp": NOW + 60}, SECRET)
        ticket, _ = auth.mint_ticket(auth.authenticate(token, NOW), None, NOW)
        with pytest.raises(Unauthorized):
            auth.authenticate(ticket, NOW)
        with pytest.raises(Unauthorized):
            auth.open_ticket(token, NOW)


def test_a_ticket_is_not_signed_by_a_secret_of_the_settings() -> None:
    auth = Authenticator(jwt_secret=SECRET)
    ticket, _ = auth.mint_ticket(caller(), None, NOW)
    with pytest.raises(jwt.InvalidSignatureError):
        jwt.PyJWS().decode(ticket, SECRET, algorithms=["HS256"])


@pytest.mark.parametrize("key", ["publish-only", None])
def test_only_callers_that_may_subscribe_get_a_ticket(key: str | None) -> None:
    auth = hub(publish_keys=["publish-only"], subscribe_keys=["s"], operator_keys=["o"])
    with pytest.raises(Forbidden if key else Unauthorized, match="subscribe"):
        auth.mint_ticket(auth.authenticate(key, NOW), None, NOW)


def test_a_ticket_of_a_ticket_cannot_be_had_with_more_rooms() -> None:
    auth = hub(subscribe_keys=["s"], operator_keys=["o"])
    ticket, _ = auth.mint_ticket(auth.authenticate("s", NOW), "a", NOW)
    grant = auth.open_ticket(ticket, NOW)
    assert isinstance(grant, Grant)
    with pytest.raises(Forbidden):
        auth.mint_ticket(grant, "b", NOW)


# The key


def accepts(auth: Authenticator, ticket: str) -> bool:
    try:
        auth.open_ticket(ticket, NOW)
    except Unauthorized:
        return False
    return True


def test_tickets_outlive_a_restart_while_the_settings_stay() -> None:
    ticket, _ = Authenticator(subscribe_keys=["a", "b"]).mint_ticket(caller(), None, NOW)
    assert accepts(Authenticator(subscribe_keys=["b", "a"]), ticket)


@pytest.mark.parametrize("kept", [None, b"kept"])
@pytest.mark.parametrize(
    "changed",
    [
        {"subscribe_keys": ["b"]},
        {"subscribe_keys": ["a", "b"]},
        {"subscribe_keys": [], "publish_keys": ["a"]},
        {"subscribe_keys": ["a"], "jwt_secret": SECRET},
        {"subscribe_keys": ["a"], "livekit_api_secret": SECRET},
    ],
)
def test_tickets_end_when_a_key_changes(changed: dict[str, Any], kept: bytes | None) -> None:
    ticket, _ = hub(subscribe_keys=["a"], ticket_secret=kept).mint_ticket(caller(), None, NOW)
    assert not accepts(hub(**changed, ticket_secret=kept), ticket)


def test_without_any_secret_the_key_is_random_unless_one_is_kept() -> None:
    ticket, _ = Authenticator().mint_ticket(caller(), None, NOW)
    assert not accepts(Authenticator(), ticket)
    ticket, _ = Authenticator(ticket_secret=b"kept").mint_ticket(caller(), None, NOW)
    assert accepts(Authenticator(ticket_secret=b"kept"), ticket)
    assert not accepts(Authenticator(ticket_secret=b"other"), ticket)
