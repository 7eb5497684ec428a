"""ONNX's own published cases, run on any reader of ONNX files, and what came of them."""
