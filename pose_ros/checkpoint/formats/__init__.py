"""Readers of foreign file formats, without the libraries that wrote them."""
