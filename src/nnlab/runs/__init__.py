"""One experiment as files: its config, its journal, its environment, its weights."""
