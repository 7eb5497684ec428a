"""The harness's side of a runtime: tables, languages, worker processes and their environments."""
