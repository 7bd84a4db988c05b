"""Bind the part of CUDA that a runner needs: devices, memory, streams and graphs."""
