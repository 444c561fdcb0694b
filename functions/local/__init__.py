"""What serves only a laptop; never packed into a function."""
