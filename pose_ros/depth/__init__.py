"""Keypoints in metres, from a registered depth image or from the proportions of the body."""
