"""Rollouts: how a module comes from one model version to another, as a pure state machine."""
