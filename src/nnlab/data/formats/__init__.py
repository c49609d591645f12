"""Formats: how the files of published data sets are laid out, byte by byte."""
