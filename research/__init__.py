"""What makes and measures what is shipped; none of it is in the wheel."""
