"""Passages, labels and judgments → what is wrong with them, before anybody trains on them."""
