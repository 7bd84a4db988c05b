"""The live page's subscriber."""
