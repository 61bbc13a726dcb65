"""What surrounds a training or a search: none of it is needed to understand either."""
