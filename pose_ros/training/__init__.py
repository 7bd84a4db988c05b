"""Train pose networks."""
