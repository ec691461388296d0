"""Tables of finished runs, and the comparisons that a study computes from them."""
