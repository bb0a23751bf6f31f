"""All flights that left New York City in 2013: csv files to tables that answer questions."""
