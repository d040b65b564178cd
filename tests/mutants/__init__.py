"""Deliberate defects, at least one for each acceptance test, and the runner that demands that the test turns red."""
