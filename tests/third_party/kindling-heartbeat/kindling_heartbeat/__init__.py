"""A third-party plugin for Kindling, written only from its documentation."""
