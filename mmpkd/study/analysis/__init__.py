"""Tables of finished runs, and what a study computes from them."""
