"""Benchmarks: what Framepilot promises about speed, measured as ratios in one run on the machine at hand."""
