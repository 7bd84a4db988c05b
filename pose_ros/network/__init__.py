"""Pose networks in torch, one file per paper: a backbone, a neck and named heads. `zoo` lists them."""
