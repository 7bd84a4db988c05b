"""Losses between network outputs and training targets."""
