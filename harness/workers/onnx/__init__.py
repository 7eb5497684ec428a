"""Engines that run ONNX files in Python, and modules that read, split and write such files."""
