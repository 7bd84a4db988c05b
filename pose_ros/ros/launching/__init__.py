"""Parts of the launch files."""
