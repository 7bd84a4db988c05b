"""Read images, videos and bags. Write annotated images, videos and result files."""
