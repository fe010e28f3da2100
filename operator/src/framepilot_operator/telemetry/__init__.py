"""Telemetry: what instances say of themselves, what a Prometheus server says of devices, and one view of both."""
