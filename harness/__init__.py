"""Cross-language interoperability benchmark harness for deep-learning models in Earth observation."""

__version__ = "0.1.0"

#: As whom reports and references cite; CITATION.cff, the licences and the packages in native/ say the same.
AUTHORS = "The interop harness authors"
