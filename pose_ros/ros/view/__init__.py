"""Subscriber of the live page."""
