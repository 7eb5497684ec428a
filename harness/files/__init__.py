"""Artifacts by content hash, files that are written whole or not at all, and arrays on disk."""
