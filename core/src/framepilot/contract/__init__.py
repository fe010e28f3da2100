"""The contract between operator and app: desired state, observed state, report, events, metric names."""
