"""What users declare: entities, their columns, expectations, places. Pure functions and values."""
