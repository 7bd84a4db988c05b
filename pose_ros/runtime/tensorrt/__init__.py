"""Run networks in TensorRT, build engines, and cache them."""
