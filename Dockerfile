FROM python:3.11-slim AS build
ENV PIP_NO_CACHE_DIR=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_ROOT_USER_ACTION=ignore
WORKDIR /src

# Dependencies first, so that a change of our own code keeps this layer.
# --without-pip: the environment is copied whole, and nothing installs into it later.
# --no-deps: the lock is complete, and pip before 24 rejects an extra of a pinned package in hash mode
# (`pydantic[email]`, which fastmcp requires).
COPY requirements.lock requirements-build.lock ./
RUN python -m venv --without-pip /opt/venv \
    && python -m pip --python /opt/venv/bin/python install \
        --no-compile --no-deps --require-hashes -r requirements.lock \
    && python -m venv --without-pip /opt/build \
    && python -m pip --python /opt/build/bin/python install \
        --no-compile --no-deps --require-hashes -r requirements-build.lock

COPY pyproject.toml README.md LICENSE ./
COPY openenv_kit openenv_kit
COPY metric_tracker_rl metric_tracker_rl
COPY drilldown_env drilldown_env
COPY firewatch_env firewatch_env
# Pages of the debugger show these files.
COPY examples/connect examples/connect
COPY examples/flights/flights.toml examples/flights/flights.toml
# Without isolation the build backend is the hash-pinned one, not whatever is newest today.
RUN /opt/build/bin/hatchling build -t wheel -d /tmp/dist \
    && python -m pip --python /opt/venv/bin/python install \
        --no-compile --no-index --no-deps /tmp/dist/*.whl

# Left out: pandas' own tests and Gradio's page rendering in Node (there is no Node here). What
# stays is dominated by Gradio's web pages (55 MB of its 69), then numpy with its OpenBLAS, and
# pandas.
# Bytecode is made here because the running server may have nowhere to write it; it is trusted
# unchecked because nothing edits the sources of an image. Tests go without.
RUN rm -rf /opt/venv/lib/python3.11/site-packages/pandas/tests \
        /opt/venv/lib/python3.11/site-packages/gradio/templates/node \
        /opt/venv/share/jupyter \
    && /opt/venv/bin/python -m compileall -q -j 0 --invalidation-mode unchecked-hash \
        -x '/tests/' /opt/venv/lib/python3.11/site-packages


FROM python:3.11-slim
LABEL org.opencontainers.image.title="Metric Tracker RL" \
    org.opencontainers.image.description="OpenEnv environments of product analytics and on-call work" \
    org.opencontainers.image.version="0.1.0" \
    org.opencontainers.image.licenses="BSD-3-Clause"
COPY --from=build /opt/venv /opt/venv
WORKDIR /app
# The Python packages of the image, as CycloneDX; scanners find the file by the end of its name.
COPY sbom.cdx.json ./

# Everything a library might write goes to /tmp, so the root filesystem can be read-only.
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    HOME=/tmp \
    GRADIO_TEMP_DIR=/tmp/gradio \
    GRADIO_ANALYTICS_ENABLED=False \
    HF_HUB_DISABLE_TELEMETRY=1 \
    ENABLE_WEB_INTERFACE=true \
    HOST=0.0.0.0 \
    PORT=8000 \
    WORKERS=1

# By number, so that a cluster can see that it is not root; any other uid works as well.
USER 10001:10001
EXPOSE 8000
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "-I", "-c", "import os, urllib.request; urllib.request.urlopen('http://127.0.0.1:' + os.environ['PORT'] + '/health', timeout=4)"]
# The process itself is PID 1 and gets SIGTERM; HOST, PORT and WORKERS reach it by the environment.
CMD ["server"]
