"""Export networks to self-describing ONNX files, in float32, half precision, bfloat16 or 8-bit integers."""
