"""PyTorch: its engine, its models, its training and its exporters."""
