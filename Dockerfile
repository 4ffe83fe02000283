# The hub with the agent process that it starts. Build: docker build -t streaming-hub .
# Run: see compose.yaml, and docs/guides/deployment.md.
ARG BASE=python:3.13-slim

FROM ${BASE} AS build
# The second form is for a BASE made from Debian's own Python.
RUN pip install --no-cache-dir --root-user-action=ignore uv || pip install --no-cache-dir --break-system-packages uv
WORKDIR /app
ENV UV_COMPILE_BYTECODE=1 UV_LINK_MODE=copy UV_PYTHON_DOWNLOADS=never
# Before the code: a change there does not install everything anew.
COPY pyproject.toml uv.lock ./
COPY packages/python packages/python
RUN uv sync --locked --no-dev --all-extras --no-install-project --no-editable --no-cache
COPY README.md LICENSE stream-test.html ./
COPY packages/js/src packages/js/src
COPY streaming_hub streaming_hub
COPY agent agent
RUN uv sync --locked --no-dev --all-extras --no-editable --no-cache

FROM ${BASE}
RUN useradd --system --uid 10001 --home-dir /data --shell /usr/sbin/nologin hub \
    && install -d -o hub -g hub -m 0700 /data
WORKDIR /app
COPY --from=build /app/.venv .venv
ENV PATH=/app/.venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    STREAM_HOST=0.0.0.0 \
    STREAM_PORT=5000 \
    STREAM_HISTORY=sqlite:////data/events.db
USER hub
VOLUME /data
EXPOSE 5000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=5s --timeout=5s --start-period=10s \
    CMD ["python", "-c", "import http.client, os; c = http.client.HTTPConnection('127.0.0.1', int(os.environ['STREAM_PORT']), timeout=4); c.request('GET', '/api/health'); raise SystemExit(c.getresponse().status != 200)"]
# As process 1: the hub answers signals and waits for orphans itself.
CMD ["streaming-hub"]
