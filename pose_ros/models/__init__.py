"""The default model, the catalogue of public models, and their download."""
