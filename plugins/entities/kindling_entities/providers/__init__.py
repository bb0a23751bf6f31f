"""The kinds of storage that come with the plugin: ``built_in.py`` describes them, the other modules keep the rows."""
