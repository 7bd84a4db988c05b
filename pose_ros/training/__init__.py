"""What a network is taught."""
