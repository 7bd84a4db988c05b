"""Convert stored results into the formats and objects of other tools."""
