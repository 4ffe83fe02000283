"""The names of gevent's, private ones among them, that the server's mixins override, call and set.

gevent promises none of these across major versions. A change in one could silently lift a limit: pywsgi would no
longer call what overrides it. Compare with gevent's pywsgi before moving the pin in pyproject.toml.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
import tomllib
from importlib.metadata import version
from typing import Any

import gevent.pywsgi
import gevent.server
import gevent.socket
import pytest
from gevent.pywsgi import Input, WSGIHandler, WSGIServer

from streaming_hub.server.bounds import BoundedMixin
from streaming_hub.server.direct import DirectMixin
from streaming_hub.server.handover import HandoverMixin
from streaming_hub.server.server import Handler, Server
from tests.structure.sources import ROOT

OVERRIDDEN = {
    WSGIHandler: {
        "MessageClass": "(self, *args)",
        "_handle_client_error": "(self, ex)",
        "_headers": "(self)",
        "_sendall": "(self, data)",
        "_write_with_headers": "(self, data)",
        "finalize_headers": "(self)",
        "get_environ": "(self)",
        "handle": "(self)",
        "handle_error": "(self, t, v, tb)",
        "handle_one_request": "(self)",
        "log_request": "(self)",
        "process_result": "(self)",
        "read_request": "(self, raw_requestline)",
        "read_requestline": "(self)",
    },
    WSGIServer: {
        "__init__": "(self, listener, application=None, backlog=None, spawn='default', log='default', "
        "error_log='default', handler_class=None, environ=None, **ssl_args)",
        "do_read": "(self)",
        "handler_class": "",
    },
}
"""Class -> what the mixins put in the place of its own, and with which parameters."""
CALLED = {
    Input: ("_discard", "chunked_input", "read"),
    WSGIServer: ("_start_accepting_if_started", "stop_accepting"),
    gevent.socket.socket: ("_accept", "detach", "send", "sendall"),
    gevent.pywsgi: ("_InvalidClientInput", "format_date_time"),
}
SET_BY_GEVENT = {
    WSGIHandler: (
        "client_address",
        "close_connection",
        "command",
        "content_length",
        "environ",
        "headers",
        "headers_sent",
        "path",
        "request_version",
        "response_headers",
        "response_length",
        "response_use_chunked",
        "result",
        "rfile",
        "socket",
        "status",
        "wsgi_input",
    ),
    gevent.server.StreamServer: ("socket", "loop"),
    WSGIServer: ("application", "environ"),
    gevent.baseserver.BaseServer: ("_timer",),
}
"""Class -> the attributes that it and its bases set, and the mixins read or change."""
MIXINS = {WSGIHandler: (HandoverMixin, BoundedMixin, Handler), WSGIServer: (DirectMixin, Server)}


def source_of(kind: type) -> str:
    """Return the text of a class and of its bases."""
    return "".join(inspect.getsource(base) for base in kind.__mro__ if base.__module__.startswith("gevent"))


def defined(kind: type) -> set[str]:
    """Return the names of methods and values in a class's body."""
    body = ast.parse(textwrap.dedent(inspect.getsource(kind))).body[0]
    assert isinstance(body, ast.ClassDef)
    methods = {node.name for node in body.body if isinstance(node, ast.FunctionDef)}
    return methods | {
        target.id
        for node in body.body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }


@pytest.mark.parametrize("kind", OVERRIDDEN, ids=lambda kind: kind.__name__)
def test_the_table_has_all_that_the_mixins_override(kind: type) -> None:
    ours = set().union(*map(defined, MIXINS[kind]))
    assert {name for name in ours if hasattr(kind, name)} == set(OVERRIDDEN[kind])


@pytest.mark.parametrize(
    ("kind", "name", "parameters"),
    [(kind, name, parameters) for kind, names in OVERRIDDEN.items() for name, parameters in names.items()],
)
def test_what_is_overridden_has_the_same_parameters(kind: type, name: str, parameters: str) -> None:
    if parameters:
        assert str(inspect.signature(getattr(kind, name))) == parameters


@pytest.mark.parametrize("name", sorted(set(OVERRIDDEN[WSGIHandler]) - {"handle"}))
def test_pywsgi_still_calls_what_is_overridden(name: str) -> None:
    assert f"self.{name}(" in source_of(WSGIHandler)


def test_gevents_server_still_calls_what_is_overridden() -> None:
    assert "handler.handle()" in inspect.getsource(WSGIServer)
    assert "self.handler_class(" in inspect.getsource(WSGIServer)
    assert "self.do_read()" in source_of(WSGIServer)


@pytest.mark.parametrize(
    ("owner", "name"), [(owner, name) for owner, names in CALLED.items() for name in names]
)
def test_what_is_called_is_there(owner: Any, name: str) -> None:
    assert hasattr(owner, name)


@pytest.mark.parametrize(
    ("kind", "name"), [(kind, name) for kind, names in SET_BY_GEVENT.items() for name in names]
)
def test_what_gevent_sets_is_still_set(kind: type, name: str) -> None:
    assigned = {
        node.attr
        for node in ast.walk(ast.parse(textwrap.dedent(source_of(kind))))
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store)
    }
    assert name in assigned or name in kind.__dict__ or any(name in base.__dict__ for base in kind.__mro__)


def test_the_mixins_declare_nothing_else_of_gevents() -> None:
    declared = set().union(*(mixin.__annotations__ for mixin in (HandoverMixin, BoundedMixin)))
    assert {name for name in declared if not name.startswith("_")} == set(SET_BY_GEVENT[WSGIHandler])


def test_gevents_major_version_is_pinned() -> None:
    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["dependencies"]
    major = int(version("gevent").partition(".")[0])
    assert any(one.startswith("gevent>=") and one.endswith(f",<{major + 1}") for one in wanted)
