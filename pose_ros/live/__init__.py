"""The live web page of a node."""
