"""What running instances say of themselves, made into what the planner is asked with; and when what runs may change."""
