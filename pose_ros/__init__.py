"""Multi-person human pose estimation for ROS 2: a library that knows no ROS, and the node over it."""
