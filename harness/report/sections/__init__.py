"""The sections of a report: what is said about tables and figures, and in which order."""
