"""Fine-tune, re-embed, prove and promote an embedding model for one domain."""

from domain_embed.monitoring.log_writer import log_click, log_feedback, log_query

__all__ = ["log_click", "log_feedback", "log_query"]
