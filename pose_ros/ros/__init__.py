"""The door to ROS 2: the node, and what turns its messages into arrays and back."""
