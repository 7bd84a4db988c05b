"""Labelled images to learn from and to measure by. No torch, no ROS."""
