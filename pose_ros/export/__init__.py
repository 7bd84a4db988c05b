"""A network becomes a self-describing ONNX file, in float32, half precision, bfloat16 or 8-bit integers."""
