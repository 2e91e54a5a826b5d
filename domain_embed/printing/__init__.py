"""What commands print, by the same subjects as the commands."""
