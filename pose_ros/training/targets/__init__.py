"""Training targets of labelled images, one module per kind of field."""
