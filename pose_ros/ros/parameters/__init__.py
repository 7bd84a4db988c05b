"""Parameters of the node: settings, declaration, changes at run time, and documentation."""
