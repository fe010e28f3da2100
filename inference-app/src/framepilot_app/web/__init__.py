"""Web: health, readiness, status and metrics over HTTP, read-only."""
