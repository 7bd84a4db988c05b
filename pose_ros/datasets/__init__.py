"""Labelled images for training and evaluation. Imports neither torch nor ROS."""
