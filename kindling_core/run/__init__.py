"""Running: how pipes are started, tried again, stopped and reported."""
