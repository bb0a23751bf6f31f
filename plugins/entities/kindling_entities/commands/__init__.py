"""The commands of the plugin, each in its own file."""
