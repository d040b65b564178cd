"""What rules cost, measured: `make bench`. Never imported by the product, never asserts a time."""
