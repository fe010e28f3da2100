"""Runs a plan in simulated time, with the batcher and the dispatch policy that serve; pure."""
