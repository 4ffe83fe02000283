"""Who the client is behind proxies, trusted or not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streaming_hub.access.address import Client, TrustedProxies, parse_address
from streaming_hub.errors import SettingsError

NONE = TrustedProxies()
LOCAL = TrustedProxies(["127.0.0.1", "10.0.0.0/8"])


def xff(*values: str) -> list[tuple[str, str]]:
    return [("Host", "localhost"), *(("X-Forwarded-For", value) for value in values)]


@pytest.mark.parametrize(
    ("peer", "address", "loopback"),
    [
        ("127.0.0.1", "127.0.0.1", True),
        ("127.9.9.9", "127.9.9.9", True),
        ("::1", "::1", True),
        ("::ffff:127.0.0.1", "127.0.0.1", True),
        ("192.168.1.5", "192.168.1.5", False),
        ("::ffff:192.168.1.5", "192.168.1.5", False),
        ("fe80::1%eth0", "fe80::1", False),
        ("0.0.0.0", "0.0.0.0", False),
        ("", "", False),
        (None, "", False),
        ("localhost", "", False),
    ],
)
def test_without_a_proxy_the_peer_is_the_client(peer: str | None, address: str, loopback: bool) -> None:
    assert NONE.client(peer, [("Host", "localhost"), ("User-Agent", "curl")]) == Client(address, loopback)


@pytest.mark.parametrize(
    "header",
    [
        "X-Forwarded-For",
        "x-forwarded-for",
        "X-Forwarded-Proto",
        "X-Forwarded-Host",
        "Forwarded",
        "Via",
        "X-Real-IP",
        "X-Client-IP",
        "X-Cluster-Client-IP",
        "True-Client-IP",
        "CF-Connecting-IP",
    ],
)
def test_any_trace_of_an_unknown_proxy_takes_loopback_away(header: str) -> None:
    assert NONE.client("127.0.0.1", [(header, "127.0.0.1")]) == Client("127.0.0.1", loopback=False)
    assert NONE.client("::1", [(header, "")]) == Client("::1", loopback=False)


def test_an_unknown_proxy_cannot_name_another_client() -> None:
    assert NONE.client("203.0.113.9", xff("198.51.100.1")) == Client("203.0.113.9", loopback=False)
    assert LOCAL.client("203.0.113.9", xff("127.0.0.1")) == Client("203.0.113.9", loopback=False)


@pytest.mark.parametrize(
    ("values", "address", "loopback"),
    [
        (["203.0.113.9"], "203.0.113.9", False),
        (["127.0.0.1"], "127.0.0.1", True),
        (["127.0.0.1, 203.0.113.9"], "203.0.113.9", False),
        (["127.0.0.1", "203.0.113.9"], "203.0.113.9", False),
        (["203.0.113.9, 10.1.2.3"], "203.0.113.9", False),
        (["203.0.113.9, 192.168.0.1"], "192.168.0.1", False),
        (["127.0.0.1, 203.0.113.9, 10.1.2.3"], "203.0.113.9", False),
        (["203.0.113.9:4711"], "203.0.113.9", False),
        (["[2001:db8::1]:4711"], "2001:db8::1", False),
        (["unknown"], "127.0.0.1", False),
        (["127.0.0.1, "], "127.0.0.1", False),
        ([""], "127.0.0.1", False),
    ],
)
def test_a_trusted_proxy_is_believed_up_to_the_first_stranger(
    values: list[str], address: str, loopback: bool
) -> None:
    assert LOCAL.client("127.0.0.1", xff(*values)) == Client(address, loopback)


def test_a_trusted_proxy_that_does_not_say_for_whom_does_not_make_loopback() -> None:
    assert LOCAL.client("127.0.0.1", [("X-Real-IP", "127.0.0.1")]) == Client("127.0.0.1", loopback=False)


def test_a_direct_call_on_a_proxys_host_is_still_local() -> None:
    assert LOCAL.client("127.0.0.1", [("Host", "localhost")]) == Client("127.0.0.1", loopback=True)


@pytest.mark.parametrize("entry", ["proxy.example", "10.0.0.0/33", "", "10.0.0"])
def test_a_malformed_entry_is_named(entry: str) -> None:
    with pytest.raises(SettingsError, match="STREAM_TRUSTED_PROXIES") as refused:
        TrustedProxies(["127.0.0.1", entry])
    assert repr(entry) in str(refused.value)


def test_a_network_may_be_written_with_host_bits() -> None:
    assert TrustedProxies(["10.1.2.3/8"]).client("10.9.9.9", xff("203.0.113.9")).address == "203.0.113.9"


@pytest.mark.parametrize(
    ("address", "bucket"),
    [
        ("203.0.113.9", "203.0.113.9"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::1", "2001:db8:1:2::/64"),
        ("::1", "::1"),
        ("", ""),
    ],
)
def test_limits_count_an_ipv6_network_as_one(address: str, bucket: str) -> None:
    assert Client(address, loopback=False).bucket == bucket


@given(st.text(), st.lists(st.text(alphabet='0123456789.:,[]%" abcdef') | st.text()))
def test_no_header_breaks_the_rules(peer: str, values: list[str]) -> None:
    for proxies in (NONE, LOCAL):
        for start in (peer, "127.0.0.1", "10.0.0.1"):
            client = proxies.client(start, xff(*values))
            assert client.address == "" or parse_address(client.address) is not None
            assert isinstance(client.bucket, str)
