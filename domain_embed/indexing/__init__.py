"""Model + passages → a complete collection."""
