"""The commands of the plugin, one in a file."""
