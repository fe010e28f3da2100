"""Control: the desired-state file is followed, rollouts are performed, verdicts are kept."""
