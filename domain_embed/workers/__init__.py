"""Functions run in processes of their own, under limits: what a hostile file does to a parser ends there."""
