"""The papers' experiments, as `fairvision reproduce` runs them."""
