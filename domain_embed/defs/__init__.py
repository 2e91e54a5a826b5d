"""The thin Dagster layer: the asset graph, its staleness, checks and runs."""
