"""Taking texts away again: from everything that is made of a domain, and naming what could not be reached."""
