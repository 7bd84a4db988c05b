"""Convert ROS messages to arrays and back."""
