"""Judgments + collection → hard negatives."""
