"""The parts of ``SqlStateStore``, and the database that they share."""
