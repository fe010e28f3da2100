"""A resource to start from: valid, and fresh at every call, so that a test may change what it likes."""

from __future__ import annotations

from typing import Any


def service_document() -> dict[str, Any]:
    """An `InferenceService` as a YAML parser returns it: face -> age on one file."""
    return {
        "apiVersion": "framepilot.dev/v1alpha1",
        "kind": "InferenceService",
        "metadata": {"name": "lobby", "namespace": "cameras"},
        "spec": {
            "streams": [{"name": "door", "source": "file:videos/door.mp4"}],
            "modules": [
                {"name": "face", "model": {"name": "centerface", "version": "1"}},
                {
                    "name": "age",
                    "inputs": ["face"],
                    "where": {"minScore": "60%"},
                    "model": {"name": "age", "version": "1"},
                },
            ],
            "models": {"store": "file:///models"},
            "objective": {"latency": "200ms"},
            "sinks": [{"name": "events", "type": "file", "path": "events.jsonl"}],
        },
    }


def runtime_document() -> dict[str, Any]:
    """A runtime whose pod gets a device and a volume."""
    return {
        "apiVersion": "framepilot.dev/v1alpha1",
        "kind": "InferenceRuntime",
        "metadata": {"name": "shared", "namespace": "cameras"},
        "spec": {
            "template": {
                "resources": {"limits": {"nvidia.com/gpu": 1}},
                "volumes": [{"name": "models", "persistentVolumeClaim": {"claimName": "models"}}],
                "volumeMounts": [{"name": "models", "mountPath": "/models"}],
            }
        },
    }


def profile_document() -> dict[str, Any]:
    """A `ModelProfile` of two batch sizes."""
    return {
        "apiVersion": "framepilot.dev/v1alpha1",
        "kind": "ModelProfile",
        "metadata": {"name": "centerface-1-cpu"},
        "spec": {
            "model": "centerface",
            "version": "1",
            "deviceClass": "cpu",
            "points": [
                {"batch": 1, "p50": "12.5ms", "p99": "15ms"},
                {"batch": 8, "p50": "80ms", "p99": "0.1s"},
            ],
        },
    }
