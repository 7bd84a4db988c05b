"""The node ``pose_estimator``."""
