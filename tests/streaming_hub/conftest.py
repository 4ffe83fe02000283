"""The hub as Flask's test client and as a real process; empty databases of each kind for its sidecars."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import pytest

from flask_server import create_app
from streaming_hub.settings import Settings
from streaming_hub.web.current import services_of
from tests.kit.callers import stop_hubs
from tests.kit.hub import Hub
from tests.streaming_hub.archive import postgres
from tests.streaming_hub.stream.child import Patched

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from flask import Flask
    from flask.testing import FlaskClient

_databases = itertools.count()


@pytest.fixture(autouse=True)
def _hubs_end_with_their_test() -> Iterator[None]:
    yield
    stop_hubs()


@pytest.fixture
def make_app() -> Iterator[Callable[..., Flask]]:
    """Builds applications with settings of the test's own."""
    made: list[Flask] = []

    def build(**settings: Any) -> Flask:
        app = create_app(Settings(**{"history": "memory://", **settings}))
        made.append(app)
        return app

    yield build
    for app in made:
        services_of(app).stop()


@pytest.fixture
def app(make_app: Callable[..., Flask]) -> Flask:
    """An application as it is without any setting, but for its history in memory."""
    return make_app()


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    """A client of it."""
    return app.test_client()


@pytest.fixture(scope="module")
def start_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Hub]]:
    """Starts real servers, each in a folder of its own."""
    started: list[Hub] = []

    def start(*, folder: Any = None, command: list[str] | None = None, **settings: str) -> Hub:
        place = folder or tmp_path_factory.mktemp("server")
        started.append(Hub(place, command=command, **{"STREAM_HEARTBEAT": "0.5", **settings}))
        return started[-1].spawn()

    yield start
    for server in started:
        server.kill()


@pytest.fixture(scope="module")
def patched(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Patched]:
    """Runs the functions of the module that a test file calls SCENES, monkey-patched."""
    with Patched(request.module.SCENES, tmp_path_factory.mktemp("output")) as process:
        yield process


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[postgres.Server]:
    """A PostgreSQL server, where it is installed."""
    with postgres.server() as running:
        yield running


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of an empty database of each kind."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/archive.db"
        return
    server = request.getfixturevalue("postgres_server")
    name = f"archive_{next(_databases)}"
    yield server.new_database(name)
    server.drop_database(name)


@pytest.fixture(scope="module")
def hub_server(start_server: Callable[..., Hub]) -> Hub:
    """A real server that the tests of a module share."""
    return start_server().wait_until_up()
