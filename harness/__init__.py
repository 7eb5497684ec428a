"""Cross-language interoperability benchmark harness for deep-learning models in Earth observation."""

__version__ = "0.1.0"
