"""Pairs + hard negatives → a checkpoint."""
