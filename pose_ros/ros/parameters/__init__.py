"""The parameters of the node: names, types, ranges, changes while it runs."""
