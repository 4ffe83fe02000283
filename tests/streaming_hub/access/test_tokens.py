"""JWTs: hub tokens and LiveKit tokens, told apart; everything else refused in words that repeat nothing."""

import base64
import hashlib
import hmac
import json
from typing import Any

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from livekit.api import AccessToken, VideoGrants

from streaming_hub.access.grant import ALL_SCOPES, Grant
from streaming_hub.access.tokens import MAX_TOKEN_CHARACTERS, TokenReader
from streaming_hub.errors import HubError, SettingsError, Unauthorized

NOW = 1_700_000_000.0
HUB = "hub-secret-of-at-least-32-bytes-______"
LIVEKIT = "livekit-secret-of-at-least-32-bytes-__"
READER = TokenReader(HUB, "devkey", LIVEKIT)
SAME = TokenReader(HUB, "devkey", HUB)


def hub_token(secret: str = HUB, **claims: Any) -> str:
    merged = {"scope": "subscribe", "exp": NOW + 60, "sub": "alice", **claims}
    return sign({k: v for k, v in merged.items() if v is not ...}, secret)


def livekit_token(secret: str = LIVEKIT, **claims: Any) -> str:
    merged = {
        "video": {"roomJoin": True, "room": "r1"},
        "exp": NOW + 60,
        "sub": "bob",
        "iss": "devkey",
        **claims,
    }
    return sign({k: v for k, v in merged.items() if v is not ...}, secret)


def sign(claims: Any, secret: str, header: dict[str, Any] | None = None) -> str:
    return sign_bytes(json.dumps(claims).encode(), secret, header)


def sign_bytes(payload: bytes, secret: str, header: dict[str, Any] | None = None) -> str:
    """Sign by hand, so that tokens no library would make can be made."""
    head = json.dumps({"alg": "HS256", "typ": "JWT"} if header is None else header).encode()
    body = b".".join(base64.urlsafe_b64encode(part).rstrip(b"=") for part in (head, payload))
    signature = hmac.new(secret.encode(), body, hashlib.sha256).digest()
    return (body + b"." + base64.urlsafe_b64encode(signature).rstrip(b"=")).decode()


def refusal(token: str, reader: TokenReader = READER, now: float = NOW) -> str:
    with pytest.raises(Unauthorized) as refused:
        reader.read(token, now)
    detail = refused.value.detail
    assert not any(part and part in detail for part in [*token.split("."), HUB, LIVEKIT])
    return detail


# Hub tokens


@pytest.mark.parametrize(
    ("claims", "scopes", "rooms", "view"),
    [
        ({"scope": "subscribe"}, {"subscribe"}, None, "viewer"),
        ({"scope": "publish subscribe"}, {"publish", "subscribe"}, None, "viewer"),
        ({"scope": "join"}, {"join"}, None, "viewer"),
        ({"scope": "operate"}, ALL_SCOPES, None, "operator"),
        ({"scope": "operate", "view": "viewer"}, ALL_SCOPES, None, "operator"),
        ({"view": "operator"}, {"subscribe"}, None, "operator"),
        ({"view": "viewer"}, {"subscribe"}, None, "viewer"),
        ({"rooms": ["a", "b"]}, {"subscribe"}, {"a", "b"}, "viewer"),
        ({"rooms": []}, {"subscribe"}, set(), "viewer"),
        ({"scope": ""}, set(), None, "viewer"),
        ({"scope": "openid email"}, set(), None, "viewer"),
        ({"scope": "operator Publish SUBSCRIBE publish,subscribe"}, set(), None, "viewer"),
    ],
)
def test_claims_become_a_grant(claims: dict[str, Any], scopes: object, rooms: object, view: object) -> None:
    grant = READER.read(hub_token(**claims), NOW)
    assert (grant.who, grant.scopes, grant.rooms, grant.view) == ("jwt:alice", scopes, rooms, view)
    assert grant.expires_at == NOW + 60


WRONG_CLAIMS: list[tuple[dict[str, Any], str]] = [
    ({"exp": ...}, "exp"),
    ({"exp": None}, "exp"),
    ({"exp": "1800000000"}, "exp"),
    ({"exp": True}, "exp"),
    ({"exp": [1]}, "exp"),
    ({"exp": float("nan")}, "JSON"),
    ({"exp": float("inf")}, "JSON"),
    ({"exp": 1e300}, "exp"),
    ({"exp": 10**400}, "exp"),
    ({"exp": (NOW + 60) * 1000}, "exp"),
    ({"exp": -1}, "exp"),
    ({"exp": NOW - 1}, "expired"),
    ({"exp": NOW}, "expired"),
    ({"nbf": NOW + 61}, "nbf"),
    ({"nbf": "0"}, "nbf"),
    ({"nbf": 10**400}, "nbf"),
    ({"sub": 7}, "sub"),
    ({"aud": "elsewhere"}, "aud"),
    ({"aud": None}, "aud"),
]


@pytest.mark.parametrize(("claims", "named"), WRONG_CLAIMS)
@pytest.mark.parametrize("make", [hub_token, livekit_token])
def test_dates_and_common_claims_are_checked_in_both_kinds(
    make: Any, claims: dict[str, Any], named: str
) -> None:
    assert named in refusal(make(**claims))


@pytest.mark.parametrize(
    ("claims", "named"),
    [
        ({"scope": ["subscribe"]}, "scope"),
        ({"scope": None}, "scope"),
        ({"scope": {"subscribe": True}}, "scope"),
        ({"rooms": "abc"}, "rooms"),
        ({"rooms": None}, "rooms"),
        ({"rooms": ["a", 1]}, "rooms"),
        ({"rooms": {"a": 1}}, "rooms"),
        ({"view": "admin"}, "view"),
        ({"view": "admin", "scope": "operate"}, "view"),
        ({"view": None}, "view"),
        ({"view": ["operator"]}, "view"),
    ],
)
def test_claims_of_the_wrong_kind_are_refused_by_name(claims: dict[str, Any], named: str) -> None:
    assert named in refusal(hub_token(**claims))


def test_a_token_ends_at_its_second_even_once_it_was_seen() -> None:
    token = hub_token(exp=NOW + 10.5)
    READER.read(token, NOW)
    READER.read(token, NOW + 10.4)
    assert "expired" in refusal(token, now=NOW + 10.5)


def test_a_clock_a_minute_off_is_forgiven_at_the_start() -> None:
    assert READER.read(hub_token(nbf=NOW + 60), NOW).who == "jwt:alice"


# LiveKit tokens


def test_a_token_by_livekits_own_library_opens_its_room_for_a_viewer() -> None:
    token = (
        AccessToken("devkey", LIVEKIT)
        .with_identity("bob")
        .with_grants(VideoGrants(room_join=True, room="r1"))
    )
    encoded = token.to_jwt()
    expires_at = jwt.decode(encoded, options={"verify_signature": False})["exp"]
    grant = READER.read(encoded, expires_at - 60)
    assert grant == Grant("livekit:bob", frozenset({"subscribe"}), frozenset({"r1"}), "viewer", expires_at)


@pytest.mark.parametrize(
    ("claims", "named"),
    [
        ({"video": {}}, "room"),
        ({"video": {"room": ""}}, "room"),
        ({"video": {"room": None}}, "room"),
        ({"video": {"room": ["r1"]}}, "room"),
        ({"video": {"room": 1}}, "room"),
        ({"video": "r1"}, "video"),
        ({"video": None}, "video"),
        ({"iss": "other"}, "iss"),
        ({"iss": ...}, "iss"),
        ({"iss": ["devkey"]}, "iss"),
        ({"video": ..., "sha256": "x"}, "video"),
    ],
)
def test_what_livekit_did_not_mean_for_one_room_is_refused(claims: dict[str, Any], named: str) -> None:
    assert named in refusal(livekit_token(**claims))


def test_without_an_api_key_any_issuer_is_taken() -> None:
    assert TokenReader(None, None, LIVEKIT).read(livekit_token(iss="whoever"), NOW).rooms == frozenset({"r1"})


@pytest.mark.parametrize("claim", [{"view": "operator"}, {"rooms": ["r2"]}, {"scopes": "operate"}])
def test_hub_claims_in_a_livekit_token_count_for_nothing(claim: dict[str, Any]) -> None:
    grant = READER.read(livekit_token(**claim), NOW)
    assert (grant.scopes, grant.rooms, grant.view) == (frozenset({"subscribe"}), frozenset({"r1"}), "viewer")


# Which secret for which kind


def test_each_kind_needs_the_signature_of_its_own_secret() -> None:
    assert "STREAM_JWT_SECRET" in refusal(hub_token(secret=LIVEKIT))
    assert "LIVEKIT_API_SECRET" in refusal(livekit_token(secret=HUB))
    assert "signature" in refusal(hub_token(secret="another secret of at least 32 bytes"))


def test_with_one_secret_for_both_the_claims_give_the_kind() -> None:
    assert SAME.read(livekit_token(secret=HUB), NOW).scopes == {"subscribe"}
    assert SAME.read(hub_token(scope="operate"), NOW).scopes == ALL_SCOPES
    assert "scope" in refusal(livekit_token(secret=HUB, scope="operate"), SAME)


@pytest.mark.parametrize("reader", [READER, SAME])
def test_a_token_of_both_kinds_or_of_none_is_refused(reader: TokenReader) -> None:
    assert "leave one out" in refusal(hub_token(video={"room": "r1"}), reader)
    assert "leave one out" in refusal(hub_token(video=None), reader)
    assert "needs" in refusal(hub_token(scope=...), reader)


@pytest.mark.parametrize(
    ("reader", "token"),
    [(TokenReader(HUB, None, None), livekit_token()), (TokenReader(None, None, LIVEKIT), hub_token())],
)
def test_a_kind_without_a_secret_is_unknown(reader: TokenReader, token: str) -> None:
    assert "signature" in refusal(token, reader)


@pytest.mark.parametrize("empty", ["", None])
def test_no_secret_verifies_nothing(empty: str | None) -> None:
    reader = TokenReader(empty, empty, empty)
    assert not reader.configured
    assert refusal(sign({"scope": "operate", "exp": NOW + 60}, ""), reader)


# Signatures


@pytest.mark.parametrize(
    "header",
    [
        {"alg": "none"},
        {"alg": "None"},
        {"alg": "HS384"},
        {"alg": "HS512"},
        {"alg": "RS256"},
        {"alg": "hs256"},
        {"alg": ["HS256"]},
        {"alg": None},
        {},
    ],
)
def test_no_algorithm_but_hs256(header: dict[str, Any]) -> None:
    assert "HS256" in refusal(sign({"scope": "operate", "exp": NOW + 60}, HUB, header))


def test_other_algorithms_are_refused_although_rightly_signed() -> None:
    for algorithm in ("HS384", "HS512"):
        token = jwt.encode({"scope": "operate", "exp": NOW + 60}, HUB * 2, algorithm=algorithm)
        assert "HS256" in refusal(token, TokenReader(HUB * 2, None, None))
    unsigned = jwt.encode({"scope": "operate", "exp": NOW + 60}, None, algorithm="none")
    assert "HS256" in refusal(unsigned)


@pytest.mark.parametrize(
    "header", [{"alg": "HS256", "crit": ["x"]}, {"alg": "HS256", "b64": False}, {"alg": "HS256", "kid": 1}]
)
def test_headers_that_change_the_meaning_are_refused(header: dict[str, Any]) -> None:
    refusal(sign({"scope": "operate", "exp": NOW + 60}, HUB, header))


def test_a_changed_payload_is_refused_even_once_the_token_was_seen() -> None:
    token = hub_token()
    READER.read(token, NOW)
    head, _, signature = token.split(".")
    wider = hub_token(scope="operate").split(".")[1]
    assert "signature" in refusal(f"{head}.{wider}.{signature}")


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"[]",
        b"null",
        b"{",
        b"\xff",
        b'{"scope":"\xff"}',
        b'{"scope":' + b"[" * 3000 + b"]" * 3000 + b"}",
    ],
)
def test_signed_rubbish_is_refused(payload: bytes) -> None:
    refusal(sign_bytes(payload, HUB))


def test_a_header_nested_beyond_the_stack_is_refused() -> None:
    head = base64.urlsafe_b64encode(b"[" * 3000).rstrip(b"=").decode()
    refusal(f"{head}.e30.e30")


def test_an_endless_token_is_refused_unread() -> None:
    token = hub_token(padding="x" * MAX_TOKEN_CHARACTERS)
    assert str(MAX_TOKEN_CHARACTERS) in refusal(token)


@pytest.mark.parametrize("text", ["", "..", "e30.e30.e30", "\ud800.\ud800.\ud800", "ü.ü.ü", "\0.\0.\0"])
def test_text_that_is_no_token_is_refused(text: str) -> None:
    with pytest.raises(Unauthorized):
        READER.read(text, NOW)


@given(st.text(st.characters(exclude_categories=())) | st.from_regex(r"\A[\w-]*\.[\w-]*\.[\w=-]*\Z"))
def test_no_text_raises_anything_but_a_refusal(text: str) -> None:
    with pytest.raises(HubError):
        READER.read(text, NOW)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda x: st.lists(x) | st.dictionaries(st.text(), x),
)
CLAIM_NAMES = st.sampled_from(["scope", "video", "exp", "nbf", "sub", "aud", "iss", "rooms", "view"])


@given(st.dictionaries(CLAIM_NAMES, JSON | st.just(NOW + 60) | st.just("publish") | st.just({"room": "r1"})))
def test_signed_claims_of_any_shape_give_a_grant_or_a_refusal(claims: dict[str, Any]) -> None:
    try:
        grant = SAME.read(sign(claims, HUB), NOW)
    except Unauthorized:
        return
    assert ("scope" in claims) != ("video" in claims)
    assert grant.expires_at == claims["exp"] > NOW


@given(st.binary())
def test_signed_bytes_of_any_kind_give_a_grant_only_as_claims(payload: bytes) -> None:
    try:
        grant = READER.read(sign_bytes(payload, HUB), NOW)
    except Unauthorized:
        return
    assert grant.expires_at == json.loads(payload)["exp"] > NOW


# Names, secrets and the cache


@pytest.mark.parametrize("subject", [..., "", "line\nbreak", "x" * 201, "\x1b[31m"])
def test_a_subject_that_does_not_fit_a_log_is_replaced_by_a_digest(subject: Any) -> None:
    first, second = (READER.read(hub_token(sub=subject, jti=jti), NOW).who for jti in ("1", "2"))
    assert first.startswith("jwt:#")
    assert len(first) == len("jwt:#") + 12
    assert first != second


def test_a_subject_cannot_pose_as_a_key_or_as_anonymous() -> None:
    assert READER.read(hub_token(sub="operator-key-1"), NOW).who == "jwt:operator-key-1"
    assert not READER.read(hub_token(sub="anonymous"), NOW).anonymous


@pytest.mark.parametrize(("position", "setting"), [(0, "STREAM_JWT_SECRET"), (2, "LIVEKIT_API_SECRET")])
def test_a_public_key_is_not_a_secret(position: int, setting: str) -> None:
    arguments: list[str | None] = [None, None, None]
    arguments[position] = "-----BEGIN PUBLIC KEY-----\nMIIB\n-----END PUBLIC KEY-----"
    with pytest.raises(SettingsError, match=setting) as refused:
        TokenReader(*arguments)
    assert "MIIB" not in str(refused.value)


def test_a_token_is_verified_once_and_wrong_ones_push_nothing_out(monkeypatch: pytest.MonkeyPatch) -> None:
    reader = TokenReader(HUB, None, None)
    verified: list[str] = []
    original = jwt.PyJWS.decode

    def spy(self: jwt.PyJWS, token: str, *args: Any, **kwargs: Any) -> Any:
        verified.append(token)
        return original(self, token, *args, **kwargs)

    monkeypatch.setattr(jwt.PyJWS, "decode", spy)
    token = hub_token()
    reader.read(token, NOW)
    for number in range(1100):
        refusal(f"e30.e30.{number}", reader)
    verified.clear()
    reader.read(token, NOW)
    assert verified == []
