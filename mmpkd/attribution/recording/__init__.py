"""Recording of the attention that a student computes in its forward pass."""
