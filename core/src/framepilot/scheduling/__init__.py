"""Decisions about batches, shared by the app that runs them and the planner and simulator that predict them."""
