"""From a scenario to steps and their dependencies, and the execution of each kind of step."""
