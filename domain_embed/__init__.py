"""Fine-tune, re-embed, prove and promote an embedding model for one domain."""
