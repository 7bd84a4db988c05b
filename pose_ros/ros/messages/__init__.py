"""ROS messages to arrays and back."""
