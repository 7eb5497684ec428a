"""The tables of a report, one module per question they answer."""
