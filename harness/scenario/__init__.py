"""From a scenario file to a checked Scenario; the only place that knows YAML."""
