"""Runs and judgments become evidence: measures, significance, what moved, and the report. No model is loaded here."""
