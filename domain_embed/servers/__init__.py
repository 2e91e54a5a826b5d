"""The processes that people's browsers speak to: Dagster and MLflow, each behind the gate, and what starts them."""
