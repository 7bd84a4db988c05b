"""ROS 2 interface: the node, its parameters and its messages."""
