"""Malformed and hostile inputs: each ends in an error of the product or a counted skip, inside the limits."""
