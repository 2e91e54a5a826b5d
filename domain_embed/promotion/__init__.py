"""Evidence becomes a verdict, and a verdict moves the live alias or refuses to."""
