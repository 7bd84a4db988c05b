"""Process many files: each through the pipeline, on all cores of a machine or a cluster."""
