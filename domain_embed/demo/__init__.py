"""Demo domains: real corpora with real judgments, extracted from installed packages instead of downloaded."""
