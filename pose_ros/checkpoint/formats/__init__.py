"""Readers of other libraries' file formats, without these libraries."""
