# Framepilot's images, `--target operator` and `--target inference-app`; BuildKit and Buildah build them.
#
# What changes least comes first: the base, the locked dependencies, and last, in one COPY, our own code. What builds our
# packages stays in stages of its own. The root file system may be read-only: all bytecode is compiled here, and what a
# process writes goes to /tmp, /cache and /dev/shm.
#
# The installer comes and goes within one RUN, because Buildah 1.28 (Debian 12) cannot mount it from a stage that is
# cached: github.com/containers/buildah, issue 4375.
#
# Where a proxy has a certificate authority of its own:
# `--secret id=ca-bundle,src=FILE --build-arg CA_BUNDLE=/run/secrets/ca-bundle`.
ARG BASE=docker.io/library/python:3.11-slim-bookworm
ARG CA_BUNDLE=/etc/ssl/certs/ca-certificates.crt
# Buildah can mount a cache that uv has on this machine (`--volume`), and nothing is downloaded twice.
ARG UV_CACHE_DIR=/root/.cache/uv

FROM ${BASE} AS environment
RUN python3 -m venv --without-pip /opt/framepilot
ENV PATH=/opt/framepilot/bin:$PATH \
    LANG=C.UTF-8

# The development lock knows the build backend, with hashes.
FROM environment AS builder
COPY requirements/uv.txt requirements/dev.txt /requirements/
ARG CA_BUNDLE
ARG UV_CACHE_DIR
RUN --mount=type=secret,id=ca-bundle \
    --mount=type=cache,target=/root/.cache/uv \
    python3 -m venv /installer \
    && PIP_CERT=$CA_BUNDLE /installer/bin/python -m pip install --no-cache-dir --require-hashes -r /requirements/uv.txt \
    && SSL_CERT_FILE=$CA_BUNDLE /installer/bin/uv pip install --link-mode copy --python /opt/framepilot \
        --constraint /requirements/dev.txt hatchling
WORKDIR /source
COPY LICENSE /packages/share/doc/framepilot/

FROM builder AS operator-packages
COPY core core
COPY operator operator
RUN /installer/bin/uv pip install --offline --link-mode copy --python /opt/framepilot --prefix /packages \
        --no-deps --no-build-isolation ./core ./operator \
    && python3 -m compileall -q --invalidation-mode unchecked-hash /packages/lib

FROM builder AS inference-app-packages
COPY core core
COPY inference-app inference-app
RUN /installer/bin/uv pip install --offline --link-mode copy --python /opt/framepilot --prefix /packages \
        --no-deps --no-build-isolation ./core ./inference-app \
    && python3 -m compileall -q --invalidation-mode unchecked-hash /packages/lib

FROM environment AS operator
COPY requirements/uv.txt requirements/operator.txt /opt/framepilot/requirements/
ARG CA_BUNDLE
ARG UV_CACHE_DIR
RUN --mount=type=secret,id=ca-bundle \
    --mount=type=cache,target=/root/.cache/uv \
    python3 -m venv /installer \
    && PIP_CERT=$CA_BUNDLE /installer/bin/python -m pip install --no-cache-dir --require-hashes \
        -r /opt/framepilot/requirements/uv.txt \
    && SSL_CERT_FILE=$CA_BUNDLE /installer/bin/uv pip install --link-mode copy --python /opt/framepilot \
        --compile-bytecode --require-hashes -r /opt/framepilot/requirements/operator.txt \
    && rm -r /installer
# A uid without an entry in /etc/passwd has no name and no home of its own.
ENV HOME=/tmp \
    USER=framepilot \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
LABEL org.opencontainers.image.title="framepilot-operator" \
      org.opencontainers.image.description="Framepilot's operator: plans, applies and watches inference instances" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="0.1.0"
USER 10001:10001
EXPOSE 8080
ENTRYPOINT ["framepilot-operator"]
COPY --from=operator-packages /packages /opt/framepilot

FROM environment AS inference-app
COPY requirements/uv.txt requirements/inference-app.txt /opt/framepilot/requirements/
ARG CA_BUNDLE
ARG UV_CACHE_DIR
RUN --mount=type=secret,id=ca-bundle \
    --mount=type=cache,target=/root/.cache/uv \
    python3 -m venv /installer \
    && PIP_CERT=$CA_BUNDLE /installer/bin/python -m pip install --no-cache-dir --require-hashes \
        -r /opt/framepilot/requirements/uv.txt \
    && SSL_CERT_FILE=$CA_BUNDLE /installer/bin/uv pip install --link-mode copy --python /opt/framepilot \
        --compile-bytecode --require-hashes -r /opt/framepilot/requirements/inference-app.txt \
    && rm -r /installer
# GLIBC_TUNABLES is what the app would set, and then start again: here it starts once.
ENV HOME=/tmp \
    USER=framepilot \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    TORCHINDUCTOR_CACHE_DIR=/cache/inductor \
    TRITON_CACHE_DIR=/cache/triton \
    GLIBC_TUNABLES=glibc.malloc.mmap_threshold=1073741824:glibc.malloc.trim_threshold=4294967296
LABEL org.opencontainers.image.title="framepilot-inference-app" \
      org.opencontainers.image.description="Framepilot's inference app: video streams through a pipeline of models" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="0.1.0"
USER 10001:10001
EXPOSE 8080
ENTRYPOINT ["framepilot-app"]
COPY --from=inference-app-packages /packages /opt/framepilot
