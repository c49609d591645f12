"""Reproduction: train a logged config again, compare bit for bit, say why where it differs."""
