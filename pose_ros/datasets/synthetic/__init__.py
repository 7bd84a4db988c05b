"""Rendered scenes with perfect labels."""
