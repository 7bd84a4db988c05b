"""Evaluate detected people against labels: scores, kinds of errors, and a report."""
