"""Text → vectors: dense by one sentence-transformers model, sparse by BM25."""
