"""Query → ranked passages."""
