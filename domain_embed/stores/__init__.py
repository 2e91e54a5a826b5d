"""Adapters of the ports: vector stores, tracking, tables on disk."""
