"""TensorRT: the runner, the engines it builds, and their cache."""
