"""Host, Origin and Sec-Fetch-Site: who is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streaming_hub.access.origin import (
    host_allowed,
    origin_listed,
    request_allowed,
    same_origin,
)

LOCAL_HOSTS = [
    "localhost",
    "localhost:5000",
    "LocalHost:1",
    "127.0.0.1",
    "127.0.0.1:65535",
    "[::1]",
    "[::1]:5000",
    "127.0.0.2:5000",
    "127.255.255.254",
    "[::ffff:127.0.0.1]:5000",
    "[0:0:0:0:0:0:0:1]",
]
OTHER_HOSTS = [
    "",
    "example.com",
    "example.com:5000",
    "localhost.example.com",
    "localhost.",
    "notlocalhost",
    "localhost:5000.example.com",
    "localhost:port",
    "localhost:٣",
    "localhost\n",
    "localhost, example.com",
    "user@localhost",
    "127.0.0.1.nip.io",
    "127.0.0.2.example",
    "[::1]example",
    "127.0.0.999",
    "[::2]",
    "127x0x0x1",
    "192.168.1.5:5000",
    "::1",
    "[::1",
    "0.0.0.0:5000",
]


@pytest.mark.parametrize("host", LOCAL_HOSTS)
def test_this_machines_names_are_allowed(host: str) -> None:
    assert host_allowed(host, any_open=True)


@pytest.mark.parametrize("host", OTHER_HOSTS)
def test_other_names_are_refused_while_any_scope_is_open(host: str) -> None:
    assert not host_allowed(host, any_open=True)
    assert host_allowed(host, any_open=False)


def test_a_client_without_a_host_header_is_not_a_browser() -> None:
    assert host_allowed(None, any_open=True)


LOCAL_ORIGINS = [
    "http://localhost",
    "http://localhost:3000",
    "https://127.0.0.1:8443",
    "http://[::1]:5000",
    "HTTP://LOCALHOST",
]
FOREIGN_ORIGINS = [
    "",
    "*",
    "https://evil.example",
    "http://localhost.evil.example",
    "http://evil.example/localhost",
    "http://localhost:3000.evil.example",
    "http://localhost:3000/",
    "http://localhost:",
    "http://localhost\n",
    "file://",
    "ftp://localhost",
    "localhost",
    "http://127.0.0.1.evil.example",
    "http://localhost http://evil.example",
    "Null",
]


@pytest.mark.parametrize("operate", [True, False])
@pytest.mark.parametrize("all_open", [True, False])
@pytest.mark.parametrize("origin", LOCAL_ORIGINS)
def test_local_pages_are_listed_by_default(origin: str, all_open: bool, operate: bool) -> None:
    assert origin_listed(origin, None, all_open=all_open, operate=operate)


@pytest.mark.parametrize("origin", FOREIGN_ORIGINS)
def test_foreign_pages_are_not(origin: str) -> None:
    assert not origin_listed(origin, None, all_open=True, operate=False)


@pytest.mark.parametrize(
    ("origin", "listed"),
    [
        ("https://app.example", True),
        ("HTTPS://App.Example", True),
        ("https://app.example:443", True),
        ("http://app.example", False),
        ("https://app.example:8443", False),
        ("https://app.example.evil", False),
        ("https://sub.app.example", False),
        ("http://other.example", True),
        ("http://localhost:5000", False),
        ("null", False),
    ],
)
def test_a_list_is_exact_and_replaces_the_default(origin: str, listed: bool) -> None:
    setting = ("https://app.example", "http://other.example:80")
    assert origin_listed(origin, setting, all_open=True, operate=False) is listed


@pytest.mark.parametrize("setting", [None, ("null",), ("https://app.example", "null")])
@pytest.mark.parametrize(
    ("all_open", "operate", "listed"),
    [(True, False, True), (True, True, False), (False, False, False), (False, True, False)],
)
def test_null_is_listed_only_on_an_open_hub_and_never_for_operators(
    setting: tuple[str, ...] | None, all_open: bool, operate: bool, listed: bool
) -> None:
    assert origin_listed("null", setting, all_open=all_open, operate=operate) is listed


@pytest.mark.parametrize(
    ("origin", "host", "same"),
    [
        ("http://hub.example", "hub.example", True),
        ("https://hub.example", "hub.example", True),
        ("http://Hub.example:5000", "hub.Example:5000", True),
        ("http://hub.example:5000", "hub.example", False),
        ("http://evil.example", "hub.example", False),
        ("null", "null", False),
        ("null", "", False),
        ("http://", "", False),
        ("http://", None, False),
        ("file://hub.example", "hub.example", False),
    ],
)
def test_the_servers_own_page(origin: str, host: str | None, same: bool) -> None:
    assert same_origin(origin, host) is same


def changed(
    method: str = "POST",
    origin: str | None = None,
    site: str | None = None,
    *,
    operate: bool = False,
    host: str = "localhost:5000",
) -> bool:
    return request_allowed(method, origin, site, host, None, all_open=True, operate=operate)


@pytest.mark.parametrize("method", ["POST", "DELETE", "PUT", "PATCH", "post", "ANYTHING"])
def test_a_foreign_page_changes_nothing(method: str) -> None:
    assert not changed(method, "https://evil.example")
    assert not changed(method, None, "cross-site")


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "get"])
def test_reading_is_not_refused_here(method: str) -> None:
    assert changed(method, "https://evil.example", "cross-site")


@pytest.mark.parametrize(
    ("origin", "site", "allowed"),
    [
        (None, None, True),
        (None, "same-origin", True),
        (None, "none", True),
        (None, " Same-Origin ", True),
        (None, "same-site", False),
        (None, "cross-site", False),
        (None, "", False),
        (None, "nonsense", False),
        ("http://localhost:3000", "cross-site", True),
        ("http://localhost:3000", "same-site", True),
        ("https://evil.example", "same-origin", False),
        ("https://evil.example", "none", False),
        ("", None, False),
    ],
)
def test_sec_fetch_site_counts_only_where_origin_is_absent(
    origin: str | None, site: str | None, allowed: bool
) -> None:
    assert changed("POST", origin, site) is allowed


def test_the_page_from_disk_publishes_but_does_not_start_the_agent() -> None:
    assert changed("POST", "null")
    assert not changed("POST", "null", operate=True)


def test_the_served_page_works_whatever_is_listed() -> None:
    listed = ("https://app.example",)
    for host, allowed in (("192.168.1.5:5000", True), ("192.168.1.6:5000", False)):
        origin = "http://192.168.1.5:5000"
        assert request_allowed("POST", origin, None, host, listed, all_open=False, operate=True) is allowed


@given(st.text(), st.text(), st.none() | st.text())
def test_no_header_breaks_the_rules(origin: str, host: str, site: str | None) -> None:
    assert host_allowed(host, any_open=True) in (True, False)
    assert changed("POST", origin, site, host=host) in (True, False)
