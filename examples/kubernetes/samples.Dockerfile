# The sample models and videos behind a web server. Its context is the folder that `make samples` links as
# examples/samples; any web server that serves such a folder is a model store.
ARG BASE=docker.io/library/python:3.11-slim-bookworm
FROM ${BASE}
COPY . /samples
ENV PYTHONUNBUFFERED=1
LABEL org.opencontainers.image.title="framepilot-samples" \
      org.opencontainers.image.description="Sample models and videos for Framepilot, served over HTTP"
USER 10001:10001
EXPOSE 8000
ENTRYPOINT ["python3", "-m", "http.server", "--directory", "/samples", "8000"]
