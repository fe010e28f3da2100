"""Modules: one model's step each, from frame or crop to prediction, and the device thread that runs them all."""
