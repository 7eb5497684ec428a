"""Engines that run ONNX files in Python, and what reads, cuts and writes such files."""
