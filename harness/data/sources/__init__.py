"""One file per data source; each offers `SOURCE`, and all yield the same Dataset."""
