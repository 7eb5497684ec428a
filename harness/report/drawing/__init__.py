"""What figures share: what a figure declares, how all of them look, and how texts fit into them."""
