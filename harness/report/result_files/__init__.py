"""What the report reads of result files, a module per file, named as the file is."""
