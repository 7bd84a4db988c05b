"""Live web page of a node."""
