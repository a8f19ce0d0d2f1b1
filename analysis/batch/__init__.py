"""The event loops as jobs of a batch system, and one output from their pieces."""
