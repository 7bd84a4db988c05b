"""Publish a recording like a camera."""
