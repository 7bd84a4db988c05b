"""Multi-person human pose estimation for ROS 2: a library that does not need ROS, and a ROS node."""
