"""Keras on each of its backends: engine, models, training, exporters and file formats."""
