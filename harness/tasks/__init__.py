"""What a model's output is for: targets, decisions and metrics on arrays."""
