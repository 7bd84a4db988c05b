"""What a network should answer for a labelled image, one file per kind of field."""
