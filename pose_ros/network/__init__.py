"""The networks of the field, in torch: a backbone, a neck and named heads, one file per paper. `zoo` lists them."""
